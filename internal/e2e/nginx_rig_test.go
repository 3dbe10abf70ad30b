package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/testenv"
)

// nginxConf has static files and nothing of the machine's own: two workers,
// in the foreground, all else as Debian sets it.
const nginxConf = `daemon off;
user root;
worker_processes 2;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	sendfile on;
	tcp_nopush on;
	server {
		listen 8080;
		listen [::]:8080;
		root %[1]s/files;
	}
}
`

const (
	nginxPort = 8080
	nginxLine = "a line of a page that never changes\n"
	nginxPage = 17 * len(nginxLine) // bytes of the front page
)

// nginx runs one that serves files, unmodified, and compares lengths: its
// replies have a Date.
func nginx(t testing.TB, flags ...string) (r *rig, files string) {
	t.Helper()
	testenv.RequireTool(t, "nginx")
	dir := publicDir(t)
	files = filepath.Join(dir, "files")
	conf := filepath.Join(dir, "nginx.conf")
	err := os.Mkdir(files, 0o755)
	if err == nil {
		err = os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir), 0o644)
	}
	if err == nil {
		page := strings.Repeat(nginxLine, nginxPage/len(nginxLine))
		err = os.WriteFile(filepath.Join(files, "index.html"), []byte(page), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	flags = append([]string{"--compare", "length"}, flags...)
	return start(t, unmodifiedOptions(nginxPort, flags...), program(t, "nginx"), "-c", conf, "-e", "stderr", "-p", dir), files
}

// worker waits for a process below the main one that is none of these, and
// returns it.
func (r *rig) worker(but ...int) (pid int) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		d := r.waitStatus("the server runs", func(d *status.Document) bool {
			return d.Process.PID != 0 && d.Process.PID != r.last && d.Process.State == status.ProcessRunning
		})
		for _, child := range procfs.Children(d.Process.PID) {
			if !slices.Contains(but, child) {
				return child
			}
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("process %d has no child but %v", d.Process.PID, but)
		}
		<-time.After(r.poll)
	}
}
