//go:build !linux

package journal

import "errors"

func createMemory(int64) (int, []byte, error)  { return -1, nil, errors.ErrUnsupported }
func mapMemory(int, int64) ([]byte, error)     { return nil, errors.ErrUnsupported }
func memorySize(int) (int64, error)            { return 0, errors.ErrUnsupported }
func unmapMemory([]byte) error                 { return errors.ErrUnsupported }
func adoptMemory(int) (int, []byte, error)     { return -1, nil, errors.ErrUnsupported }
func dataEnd(int, int64, int64) (int64, error) { return 0, errors.ErrUnsupported }
func closeFd(int) error                        { return errors.ErrUnsupported }
