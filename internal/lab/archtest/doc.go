// Package archtest holds the architecture to what docs/architecture.md says:
// its test fails when a package imports what its layer may not. It has no code
// of its own.
package archtest
