package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// The tests of examples that need more than Go and Node.js, by the pattern of
// their names.
const (
	RedisTests       = "^TestExampleRedis"
	CertificateTests = "^TestExampleCertificate"
)

// RequireExamples checks that the programs are there that examples look at and
// run on, and returns a *NeedError that names whatever is missing.
func RequireExamples(ctx context.Context) error {
	need := &NeedError{}
	for _, n := range []struct {
		what, get, tests string
		command          []string
	}{
		{"grpcio for " + Python, "apt-get install python3-grpcio python3-protobuf", CertificateTests, []string{Python, "-c", "import grpc, google.protobuf"}},
		{"openssl", "apt-get install openssl", CertificateTests, []string{"openssl", "version"}},
		{"redis-server", "apt-get install redis-server", RedisTests, []string{"redis-server", "--version"}},
	} {
		if out, err := exec.CommandContext(ctx, n.command[0], n.command[1:]...).CombinedOutput(); err != nil {
			need.Missing = append(need.Missing, Need{fmt.Sprintf("%s (%v%s)", n.what, err, lastLine(out)), n.get, n.tests})
		}
	}
	if len(need.Missing) > 0 {
		return need
	}
	return nil
}

// BuildExamples runs `make examples` at the root, one process at a time: npm
// takes a folder apart while it installs.
func BuildExamples(ctx context.Context, root string) error {
	lock, err := os.Open(filepath.Join(root, "examples", "redis-ping", "package-lock.json"))
	if err != nil {
		return err
	}
	defer lock.Close() // and lets go
	if err := Poll(ctx, 20*time.Millisecond, func() error { return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }); err != nil {
		return fmt.Errorf("wait for another make examples: %w", err)
	}
	cmd := exec.CommandContext(ctx, "make", "examples")
	cmd.Dir = root
	cmd.Env = plainEnv("MAKEFLAGS", "MAKELEVEL", "GOFLAGS")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make examples: %w\n%s", err, out)
	}
	return nil
}
