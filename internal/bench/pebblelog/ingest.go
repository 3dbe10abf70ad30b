package pebblelog

import (
	"bytes"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ingestSize is from how many bytes on a batch's data becomes a table of its
// own, with Config.Ingest: such data is written once instead of twice.
const ingestSize = 512 << 10

// writeTable writes the data of a batch to a table that can be ingested, and
// syncs it.
func writeTable(path string, chunks []chunk, options sstable.WriterOptions) error {
	slices.SortFunc(chunks, func(a, b chunk) int { return bytes.Compare(a.key(), b.key()) })
	file, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(file), options)
	for _, ch := range chunks {
		value := ch.pieces[0]
		if len(ch.pieces) > 1 {
			value = bytes.Join(ch.pieces, nil)
		}
		if err := w.Set(ch.key(), value); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return w.Close()
}
