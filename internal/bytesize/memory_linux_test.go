package bytesize

import (
	"testing"
	"testing/fstest"
)

func TestTotalMemory(t *testing.T) {
	const meminfo = "MemTotal:       8388608 kB\nMemFree: 1 kB\n"
	for _, test := range []struct {
		name  string
		files map[string]string
		want  Size
	}{
		{"no cgroup", nil, 8 * GiB},
		{"v2", map[string]string{
			"proc/self/cgroup":                 "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max":     "max\n",
			"sys/fs/cgroup/a/memory.max":       "1073741824\n",
			"sys/fs/cgroup/other/memory.max":   "1\n",
			"sys/fs/cgroup/a/b/c/memory.max":   "1\n",
			"sys/fs/cgroup/a/b/memory.current": "1\n",
		}, GiB},
		{"v2 in a container", map[string]string{
			"proc/self/cgroup":         "0::/../../host/path\n",
			"sys/fs/cgroup/memory.max": "2147483648\n",
		}, 2 * GiB},
		{"v1", map[string]string{
			"proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/job\n0::/\n",
			"sys/fs/cgroup/memory/job/memory.limit_in_bytes":    "536870912\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":        "9223372036854771712\n",
			"sys/fs/cgroup/memory/job/sub/memory.usage_in_byte": "1\n",
		}, 512 * MiB},
		{"limit above the machine's", map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "1099511627776\n",
		}, 8 * GiB},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := fstest.MapFS{"proc/meminfo": {Data: []byte(meminfo)}}
			for name, text := range test.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got, err := totalMemory(root); got != test.want || err != nil {
				t.Errorf("%v, %v, want %v", got, err, test.want)
			}
		})
	}
	if _, err := totalMemory(fstest.MapFS{"proc/meminfo": {Data: []byte("Mem: 3\n")}}); err == nil {
		t.Error("no error without MemTotal")
	}
	if got, err := TotalMemory(); err != nil || got < 16*MiB {
		t.Errorf("this machine has %v, %v", got, err)
	}
}
