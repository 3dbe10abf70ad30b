package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestCerts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	for _, step := range []struct {
		args string
		code int
		says string // a regular expression; DIR is the directory
	}{
		{"certs server DIR log", 1, `DIR holds no authority: .*no such file.*\nftnet certs init DIR makes one`},
		{"certs init DIR", 0, `^DIR/ca.pem and DIR/ca.key: authority, until 20\d\d-\d\d-\d\d\n$`},
		{"certs init DIR", 1, `DIR/ca.pem: file already exists; --force replaces it$`},
		{"certs server DIR", 1, `by which names`},
		{"certs server DIR log.example 127.0.0.1", 0, `^DIR/server.pem and DIR/server.key: server for log.example, 127.0.0.1, until `},
		{"certs server DIR other", 1, `DIR/server.pem: file already exists; --force replaces it, --as NAME makes others beside it`},
		{"certs client DIR", 1, `for which services`},
		{"certs client DIR --service web --service cache", 0, `DIR/client.pem and DIR/client.key: client for web, cache, until`},
		{"certs client DIR --service * --as all --days 3", 0, `DIR/all.key`},
		{"certs client DIR --service a,b --as x", 1, `"a,b" cannot be the name of a service`},
		{"certs client DIR --service a --days 0", exitUsage, `--days`},
		{"certs list DIR", 0, `all.pem +client +\* +20\d\d-\d\d-\d\d +\d days left: renew it\n`},
		{"certs renew DIR", 0, `^DIR/all.pem: until 20\d\d-\d\d-\d\d\n$`},
		{"certs renew DIR", 0, `^nothing in DIR expires within 30 days\n$`},
		{"certs renew DIR ca client", 0, `^DIR/ca.pem: until .*\nDIR/client.pem: until .*\n$`},
		{"certs renew DIR none", 1, `there is no none.pem in DIR`},
		{"certs list DIR", 0, `(?s)^FILE +KIND +FOR +UNTIL *\nDIR/ca.pem +authority .*server +log.example, 127.0.0.1 .*36\d days left`},
		{"certs list DIR/none", 1, `no such file`},
		{"certs frob", exitUsage, `unknown command`},
	} {
		args := strings.Fields(strings.ReplaceAll(step.args, "DIR", dir))
		out, code := execute(args...)
		says := strings.ReplaceAll(step.says, "DIR", regexp.QuoteMeta(dir))
		if code != step.code || !regexp.MustCompile(says).MatchString(out) {
			t.Errorf("%s: exit %d:\n%s", step.args, code, out)
		}
	}
	if err := os.Remove(filepath.Join(dir, "client.key")); err != nil {
		t.Fatal(err)
	}
	if out, code := execute("certs", "list", dir); code != 1 || !strings.Contains(out, "its key is missing") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
