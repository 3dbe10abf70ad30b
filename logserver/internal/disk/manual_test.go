package disk

import "github.com/ftnet/ftnet/logserver/internal/storelog"

// What a log with Config.manual does when it is told to.

func (l *Log) step() error   { return storelog.Step(l.Log) }
func (l *Log) pending() bool { return storelog.Pending(l.Log) }
func (l *Log) clean()        { storelog.Clean(l.Log) }
