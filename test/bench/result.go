package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// result is the JSON of one run.
type result struct {
	Time      string  `json:"time"`
	Platform  string  `json:"platform"`
	GoVersion string  `json:"go_version"`
	CPUs      int     `json:"cpus"`
	Machine   machine `json:"machine"`
	Shortened bool    `json:"shortened"`
	// Servers that were compared, by name.
	Servers     map[string]serverVersion `json:"servers,omitempty"`
	Figures     []figure                 `json:"figures"`
	Comparisons []*comparison            `json:"comparisons,omitempty"`
}

// machine is what the run was measured on.
type machine struct {
	Processor string  `json:"processor"`
	MemoryMB  int     `json:"memory_mb"`
	Kernel    string  `json:"kernel"`
	Load      float64 `json:"load_before"` // the mean of the last minute, in cores
}

type serverVersion struct {
	What    string `json:"what"`
	Version string `json:"version"`
}

// quiet is how many cores other processes may take, in the median, before a run
// is not fit to be published.
const quiet = 0.1

func newResult(b *bench, shortened bool) *result {
	return &result{
		Time: time.Now().UTC().Format(time.RFC3339), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		GoVersion: runtime.Version(), CPUs: runtime.NumCPU(), Machine: readMachine(), Shortened: shortened, Figures: []figure{},
	}
}

func readMachine() machine {
	var m machine
	cpu, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(cpu) {
		if key, value, _ := bytes.Cut(line, []byte(":")); m.Processor == "" && string(bytes.TrimSpace(key)) == "model name" {
			m.Processor = string(bytes.TrimSpace(value))
		}
	}
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		m.MemoryMB = int(info.Totalram * uint64(info.Unit) >> 20)
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(kernel))
	load, _ := os.ReadFile("/proc/loadavg")
	_, _ = fmt.Sscan(string(load), &m.Load)
	return m
}

func (r *result) write(b *bench, path string) error {
	if path == "" {
		path = filepath.Join(os.TempDir(), "upkeep-bench.json")
	}
	r.Comparisons = b.comparisons
	for _, s := range b.servers {
		if r.Servers == nil {
			r.Servers = map[string]serverVersion{}
		}
		r.Servers[s.name] = serverVersion{s.what, s.version}
	}
	if taken := median(r.others()); taken > quiet && !r.Shortened {
		fmt.Fprintf(os.Stderr, "bench: other processes took %g cores meanwhile: measure again on a quiet machine before you publish\n", round3(taken))
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: figures written to %s\n", path)
	return nil
}

// table shows the figures to people.
func table(figures []figure) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FIGURE\tTARGET\tMEASURED\t\tWHAT")
	for _, f := range figures {
		what := f.What
		if f.Note != "" {
			what += " (" + f.Note + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%g %s\t%s\t%s\n", f.Name, f.Target, f.Value, f.Unit, f.verdict(), what)
	}
	w.Flush()
}

func (f figure) verdict() string {
	switch {
	case f.Target == "":
		return ""
	case !f.Met:
		return "MISSED"
	}
	return "ok"
}
