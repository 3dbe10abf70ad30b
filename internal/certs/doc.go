// Package certs is a small certificate authority for those who have none: one
// directory with the authority and the certificates of log servers and of the
// engines that log to them. [Authority] makes them, [List] looks at them, and
// [ServerTLS] and [ClientTLS] make of such files, or of anybody else's, what
// the two ends of a connection need: mutual TLS 1.3.
//
// It is not for the public web, and has no revocation: certificates live for a
// year, and a key that got lost is answered by a new authority.
package certs
