package bytesize

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

func none(*hierarchy) (*os.File, error) { return nil, os.ErrPermission }

const childEnv = "BYTESIZE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		size, err := TotalMemory()
		fmt.Println(int64(size), err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestHiddenSys: a limit holds, too, for a process whose /sys shows no cgroups.
func TestHiddenSys(t *testing.T) {
	testenv.RequireRoot(t)
	limit := int64(150 * MiB)
	dir := ""
	for _, h := range memoryHierarchies(os.DirFS("/")) {
		for _, m := range h.mounts(os.DirFS("/")) {
			d := filepath.Join("/", m.dir, m.group, "ftnet-bytesize-test")
			if os.Mkdir(d, 0o755) != nil {
				continue
			}
			t.Cleanup(func() { os.Remove(d) })
			if os.WriteFile(filepath.Join(d, h.file), []byte(fmt.Sprint(limit)), 0) == nil {
				dir = d
			}
		}
	}
	if dir == "" { // no limit can be set here: then the two have at least to agree
		size, err := TotalMemory()
		if err != nil {
			t.Fatal(err)
		}
		limit = int64(size)
	}
	for _, hide := range []string{"true", "umount -l /sys"} {
		cmd := exec.Command("sh", "-c", "[ -z \"$1\" ] || echo $$ >$1/cgroup.procs || exit; "+hide+" && exec $0", os.Args[0], dir)
		cmd.Env = append(os.Environ(), childEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // which is made private
		out, err := cmd.CombinedOutput()
		if want := fmt.Sprintln(limit, nil); err != nil || string(out) != want {
			t.Errorf("after %q: %v, %q, want %q", hide, err, out, want)
		}
	}
}

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
		{"v1 in a container with the host's paths", map[string]string{
			"proc/self/cgroup":                           "4:memory:/docker/4711\n0::/docker/4711\n",
			"proc/self/mountinfo":                        "31 30 0:27 /docker/4711 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "157286400\n",
		}, 150 * MiB},
		{"v2 with a cgroup namespace, mounted elsewhere", map[string]string{
			"proc/self/cgroup":          "0::/job\n",
			"proc/self/mountinfo":       "31 30 0:27 / /mnt/c\\040g rw shared:1 - cgroup2 none rw,nsdelegate\n32 30 0:28 / /sys rw - sysfs sysfs rw\n",
			"mnt/c g/job/memory.max":    "157286400\n",
			"sys/fs/cgroup/memory.max":  "1\n",
			"mnt/c g/other/memory.high": "1\n",
		}, 150 * MiB},
		{"v2 with the host's tree from a container", map[string]string{
			"proc/self/cgroup":           "0::/\n",
			"proc/self/mountinfo":        "31 30 0:27 /.. /sys/fs/cgroup rw - cgroup2 none rw\n",
			"sys/fs/cgroup/memory.max":   "157286400\n",
			"sys/fs/cgroup/a/memory.max": "1\n",
		}, 150 * MiB},
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
			if got, err := totalMemory(root, none); got != test.want || err != nil {
				t.Errorf("%v, %v, want %v", got, err, test.want)
			}
		})
	}
	if _, err := totalMemory(fstest.MapFS{"proc/meminfo": {Data: []byte("Mem: 3\n")}}, none); err == nil {
		t.Error("no error without MemTotal")
	}
	if got, err := TotalMemory(); err != nil || got < 16*MiB {
		t.Errorf("this machine has %v, %v", got, err)
	}
}
