// Package e2e holds the end-to-end tests: real servers under `ftnet run`,
// real clients, the real kernel on both sides, in network namespaces of their
// own. It has no code but tests. They need root.
package e2e
