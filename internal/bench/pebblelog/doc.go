// Package pebblelog is a log on cockroachdb/pebble. It exists to be measured
// beside the one in logserver/disk; docs/log-store.md has the figures and what
// follows from them. It passes the suite of logserver/logtest.
//
// It is not for use: where pebble meets a full disk or an I/O error in its own
// log it ends the process.
package pebblelog
