// Package oplog is the engine's own log, for its operator: an [hclog.Logger] that
// cannot harm the engine.
//
//   - Nobody waits for it. Lines go through a queue; who reads standard error may be
//     slow, stop, or be gone (then a write says EPIPE, and SIGPIPE is caught).
//     What cannot be written is dropped and counted (sink.go).
//   - It cannot be flooded. Of lines that say the same again and again the first ones
//     pass, then one in a while, which says how many were left out (limit.go).
//
// It is not for what servers write: that is package output's.
package oplog
