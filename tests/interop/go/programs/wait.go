package main

import (
	"context"
	"time"
)

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// until waits for a condition, looked at ten times a second.
func until(ctx context.Context, condition func() (bool, error)) error {
	for {
		holds, err := condition()
		if err != nil || holds {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(millis(100)):
		}
	}
}
