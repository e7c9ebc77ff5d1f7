//go:build !unix

package journal

// noFollow is nothing where open cannot refuse links.
const noFollow = 0

// canNotSyncDir: folders cannot be synced here.
func canNotSyncDir(error) bool { return true }
