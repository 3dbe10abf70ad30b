package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/cmd/ftnet/internal/doctor"
	"github.com/ftnet/ftnet/internal/lab/testenv"
)

func TestWriteDiagnosis(t *testing.T) {
	var b strings.Builder
	writeDiagnosis(&b, []doctor.Result{
		{Name: "kernel", Level: doctor.OK, Detail: "Linux 6.18"},
		{Name: "accept queue", Level: doctor.Warn, Detail: "short", Advice: "sysctl -w x=1"},
		{Name: "clsact", Level: doctor.Fail, Detail: "gate: clsact:\noperation not permitted", Advice: "run as root"},
	}, false)
	golden(t, "doctor.txt", b.String())
}

func TestDoctorCommand(t *testing.T) {
	testenv.RequireRoot(t)
	base := t.TempDir()
	stale := filepath.Join(base, "0badcafe")
	if err := os.Mkdir(stale, 0o711); err != nil {
		t.Fatal(err)
	}
	out, code := execute("doctor", "--runtime-dir", base)
	if code != 0 || !strings.Contains(out, "engine 0badcafe") || !strings.Contains(out, "0 failed") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if _, err := os.Stat(stale); err != nil {
		t.Error("removed without --clean")
	}
}

func TestDoctorLog(t *testing.T) {
	testenv.RequireRoot(t)
	base, dir := t.TempDir(), t.TempDir()
	file := configFile(t, "log.url = \"file://"+dir+"/log\"\n"+validConfig)
	directory := "log directory +.*" + regexp.QuoteMeta(dir) // it can be written, or that takes long on a busy host
	for args, want := range map[string]struct {
		code int
		says string // a regular expression
	}{
		"":                                    {0, "in memory: it survives the servers"},
		"--log file://" + dir + "/log":        {0, directory},
		"--log file://" + dir + "/a/log":      {exitFailed, "make " + dir + "/a"},
		"--config " + file:                    {0, directory},
		"--config " + file + ".none":          {exitEngine, "no such file"},
		"--config " + file + " --log memory:": {exitUsage, "not both"},
		"--listen web:1":                      {exitUsage, `--listen: "web" is not an IP address`},
		"--listen 192.0.2.1:1":                {0, "192.0.2.1:1: not tried: nothing listens there"},
		"--log disk":                          {exitUsage, "not the URL of a log"},
		"--log ftlog://127.0.0.1:1":           {exitUsage, "a log server needs --log-ca"},
		"--log ftlog://127.0.0.1:1 --log-ca /nowhere --log-cert /nowhere --log-tls-key /nowhere": {exitFailed, "no such file"},
	} {
		out, code := execute(append([]string{"doctor", "--runtime-dir", base}, strings.Fields(args)...)...)
		if code != want.code || !regexp.MustCompile(want.says).MatchString(out) {
			t.Errorf("%s: exit %d\n%s", args, code, out)
		}
	}
}

func TestDoctorJSON(t *testing.T) {
	testenv.RequireRoot(t)
	out, code := execute("doctor", "--json", "--runtime-dir", t.TempDir())
	var d diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != 0 || !d.OK || len(d.Checks) < 20 || d.Removed == nil {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
}
