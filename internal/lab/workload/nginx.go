package workload

import (
	"fmt"
	"os"
	"path/filepath"
)

// nginxConf has static files and nothing of the machine's own: two workers, in
// the foreground, all else as Debian sets it. The arguments are a directory and a
// port.
const nginxConf = `daemon off;
user root;
worker_processes 2;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
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
		listen %[2]d;
		listen [::]:%[2]d;
		root %[1]s/files;
	}
}
`

// Nginx fills a directory with what nginx needs to serve static files on a port:
// a configuration, and a directory of files with an index page. It returns the
// arguments that nginx is to be run with, and the directory of the files.
func Nginx(dir string, port int, index string) (args []string, files string, err error) {
	conf := filepath.Join(dir, "nginx.conf")
	files = filepath.Join(dir, "files")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, port), 0o644); err != nil {
		return nil, "", err
	}
	if err := os.Mkdir(files, 0o755); err != nil {
		return nil, "", err
	}
	err = os.WriteFile(filepath.Join(files, "index.html"), []byte(index), 0o644)
	return []string{"-c", conf, "-e", "stderr", "-p", dir}, files, err
}
