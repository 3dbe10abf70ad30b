package backend

import "github.com/ftnet/ftnet/logserver"

// Reason returns what keeps a log from being well, if it tells; else nil.
func Reason(l logserver.Log) error {
	teller, ok := l.(interface{ Err() error })
	if !ok || l.Status() == logserver.OK {
		return nil
	}
	return teller.Err()
}
