// Package faultfs is a file system in memory for tests of the disk log. It
// loses power: then of what was not synced some sectors are there and others
// not, in any order, and the same goes for names in directories. It fails as it
// is told: writes that are short, syncs that leave nobody knows what behind, a
// full disk. And it flips bits.
//
// It is not for anything but tests, and not concerned with speed.
package faultfs
