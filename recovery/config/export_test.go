package config

// What the tests check a file against, and need besides of the package.
type System = system

const MaxSize = maxSize

var (
	Host      = thisHost
	Parse     = parseFile
	ParseLogd = parseLogd
	LoadLogd  = loadLogd
)
