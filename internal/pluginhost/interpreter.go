package pluginhost

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"

	"github.com/upkeephub/upkeep/internal/plugintrust"
)

// maxShebang is how much of a "#!" line the kernel reads.
const maxShebang = 256

// isScript says whether the system has a file run by an interpreter that its
// first line names.
func isScript(file io.ReaderAt) bool {
	var mark [2]byte
	n, _ := file.ReadAt(mark[:], 0) // a file that cannot be read is none; whoever reads it says why
	return n == len(mark) && string(mark[:]) == "#!"
}

// ownScript completes a candidate that is a file of its own: where that is a
// script, its interpreter is judged too.
func ownScript(c Candidate) (Candidate, *distrust) {
	file, _, err := plugintrust.Open(c.file)
	if err != nil {
		return Candidate{}, &distrust{pathCause(err).Error(), "let the user that runs host read it"}
	}
	defer file.Close()
	if isScript(file) {
		line, err := bufio.NewReaderSize(io.LimitReader(file, maxShebang), maxShebang).ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return Candidate{}, &distrust{pathCause(err).Error(), "let the user that runs host read it"}
		}
		if refusal := c.interpretedBy(shebang(line)); refusal != nil {
			return Candidate{}, refusal
		}
	}
	return trusted(c)
}

// shebang is the program that a "#!" line means, which for env is the one that
// env finds on PATH; empty when it cannot be told.
func shebang(line []byte) string {
	words := strings.Fields(string(bytes.TrimPrefix(line, []byte("#!"))))
	if len(words) == 0 {
		return ""
	}
	if path.Base(words[0]) != "env" {
		return words[0]
	}
	for _, word := range words[1:] {
		if strings.HasPrefix(word, "-") || strings.Contains(word, "=") {
			continue
		}
		if found, err := exec.LookPath(word); err == nil {
			return found
		}
		break
	}
	return words[0]
}

// interpretedBy books the interpreter of the candidate's script. One that
// anybody may write, or that a stranger owns, would be run in the plugin's place.
// One that is not there is left for the start to name.
func (c *Candidate) interpretedBy(path string) *distrust {
	c.Interpreter = path
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	warning, refusal := trust(path, info)
	if refusal != nil {
		return &distrust{fmt.Sprintf("its interpreter: %s", refusal.reason), refusal.remedy}
	}
	if warning != "" {
		c.Warnings = append(c.Warnings, warning)
	}
	return nil
}
