package recovery

import (
	"context"
	"errors"
)

// Run runs the service until it ends.
func Run(context.Context, Config) error { return errors.New("the engine is not part of this build") }
