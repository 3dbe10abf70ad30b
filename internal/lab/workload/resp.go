package workload

import (
	"strconv"
	"strings"
)

// Replies of a Redis server and the commands sent to it, in RESP2
// (redis.io/docs/reference/protocol-spec). Strings may hold any bytes.

const (
	respOK        = "+OK\r\n"
	respQueued    = "+QUEUED\r\n"
	respNil       = "$-1\r\n"
	respWrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
	respNoInteger = "-ERR value is not an integer or out of range\r\n"
)

func respBulk(s string) string { return "$" + strconv.Itoa(len(s)) + "\r\n" + s + "\r\n" }

func respInt(n int64) string { return ":" + strconv.FormatInt(n, 10) + "\r\n" }

// respArray joins replies to one.
func respArray(replies []string) string {
	return "*" + strconv.Itoa(len(replies)) + "\r\n" + strings.Join(replies, "")
}

// respBulks is the array of these strings: a reply, or a command.
func respBulks(list []string) string {
	var b strings.Builder
	b.WriteString("*" + strconv.Itoa(len(list)) + "\r\n")
	for _, s := range list {
		b.WriteString(respBulk(s))
	}
	return b.String()
}
