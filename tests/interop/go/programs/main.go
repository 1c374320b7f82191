// Programs on three Go clients: programs kadm|sarama|kafka-go BOOTSTRAP [CHECK]. A line per check: `ok NAME` or `FAILED NAME :: why`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// secondsMax: a check that waits longer has failed.
const secondsMax = 60 * time.Second

// run makes the names of this run its own, so that the checks may be run again on the same broker.
var run = fmt.Sprintf("%x", time.Now().UnixMilli())

// first is the timestamp of record 0: not long ago, since records older than retention.ms are removed.
var first = time.Now().Add(-time.Hour).Truncate(time.Millisecond)

type checks struct {
	bootstrap string
	only      string
	failed    bool
}

func (c *checks) check(name string, action func(context.Context) error) {
	if !strings.Contains(name, c.only) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), secondsMax)
	defer cancel()
	if err := action(ctx); err != nil {
		c.failed = true
		fmt.Printf("FAILED %s :: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Printf("ok %s\n", name)
}

func same[T comparable](what string, got, wanted T) error {
	if got != wanted {
		return fmt.Errorf("%s: got %v, wanted %v", what, got, wanted)
	}
	return nil
}

// refused: the error must be this one.
func refused(wanted, got error) error {
	if !errors.Is(got, wanted) {
		return fmt.Errorf("wanted %v, got %v", wanted, got)
	}
	return nil
}

func unique(name string) string { return name + "-" + run }

func main() {
	c := &checks{bootstrap: os.Args[2]}
	if len(os.Args) > 3 {
		c.only = os.Args[3]
	}
	switch os.Args[1] {
	case "kadm":
		kadmChecks(c)
	case "sarama":
		saramaChecks(c)
	case "kafka-go":
		kafkaGoChecks(c)
	}
	if c.failed {
		os.Exit(1)
	}
}
