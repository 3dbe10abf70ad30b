// Package config is the description of services, of their engine and of a log server: one
// struct for each, which a file in TOML, the flags of a command and package recovery
// share.
//
// [Load] reads and checks a file, [Flags] a command line, [Service.Check] what a program
// says; all three run the same checks. What is wrong comes back as [Diagnostics], all of
// it at once, each with a suggestion and, of a file, with line and column. [File.Diff]
// says what a reload changes.
//
// The tags of the structs (file.go, service.go, logd.go) have each key with its default,
// bounds, and what a change of it takes; the comment above a field is its meaning.
// Decoding, defaults, the checks of values, Diff, flags and the reference in
// docs/configuration.md are made from them (schema.go).
//
// The package starts nothing: its types are plain. It looks at the machine (accounts,
// programs, directories) only through a system, and only for a file.
//
// A service is one [[service]]: a server and how its connections are protected. A
// program is the file that is run for it, a port a number at which it listens.
package config
