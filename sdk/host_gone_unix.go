//go:build unix

package sdk

import (
	"os"
	"time"
)

// parentPoll is how often the parent is looked at.
const parentPoll = 500 * time.Millisecond

// watchParent calls gone when this process gets another parent, which happens
// when the one that started it has died. The goroutine lives as long as the process.
func watchParent(gone func()) {
	parent := os.Getppid()
	go func() {
		for range time.Tick(parentPoll) {
			if os.Getppid() != parent {
				gone()
				return
			}
		}
	}()
}
