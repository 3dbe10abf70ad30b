// Package config reads the file of `ftnet serve`: a host's services in TOML.
//
// [Load] reads and checks a file; what is wrong with it comes back as
// [Diagnostics], all of it at once, each with file, line, column and a
// suggestion. [File.Diff] says what a reload changes.
//
// One table, the schema (schema_file.go, schema_service.go), has each key with
// its type, range, default, meaning, and what a change of it takes. Decoding,
// defaults, the checks of values, Diff and the reference in
// docs/configuration.md are made from it.
//
// The package knows nothing of engines and processes: its types are plain, and
// it starts nothing. It looks at the machine (accounts, programs, directories)
// only through a [System].
package config
