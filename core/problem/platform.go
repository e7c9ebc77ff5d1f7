package problem

import (
	"fmt"
	"runtime"
	"strings"
)

// Platform is an operating system by the name that Go gives it. It decides which
// commands a text proposes. Every Unix that is not named here is treated as
// Linux.
type Platform string

// The platforms whose commands differ.
const (
	Linux   Platform = "linux"
	MacOS   Platform = "darwin"
	Windows Platform = "windows"
)

// Here is the platform that this program runs on.
func Here() Platform { return Platform(runtime.GOOS) }

// PortUsers are the commands that say who uses a TCP port.
func (p Platform) PortUsers(port int) []string {
	switch p {
	case MacOS:
		return []string{fmt.Sprintf("lsof -i :%d", port), fmt.Sprintf("netstat -an | grep %d", port)}
	case Windows:
		return []string{fmt.Sprintf("netstat -ano | findstr %d", port)}
	}
	return []string{fmt.Sprintf("ss -tulpn | grep %d", port), fmt.Sprintf("lsof -i :%d", port), fmt.Sprintf("netstat -tulpn | grep %d", port)}
}

// ShowProcess is the command that shows a process.
func (p Platform) ShowProcess(pid int) string {
	if p == Windows {
		return fmt.Sprintf(`tasklist /fi "PID eq %d"`, pid)
	}
	return fmt.Sprintf("ps -p %d -o pid,ppid,stat,user,lstart,args", pid)
}

// showHosts is the command that lists the processes of every Upkeep.
func (p Platform) showHosts() string {
	if p == Windows {
		return "tasklist | findstr host.exe"
	}
	return "ps aux | grep '[u]pkeep'"
}

// parent is the command that gives the parent of a process, or empty.
func (p Platform) parent(pid int) string {
	if p == Windows {
		return ""
	}
	return fmt.Sprintf("ps -o ppid= -p %d", pid)
}

// terminate and kill are the commands that end a process. Callers must have
// proved whose it is.
func (p Platform) terminate(pid int) string {
	if p == Windows {
		return fmt.Sprintf("taskkill /PID %d", pid)
	}
	return fmt.Sprintf("kill -TERM %d", pid)
}

func (p Platform) kill(pid int) string {
	if p == Windows {
		return fmt.Sprintf("taskkill /F /PID %d", pid)
	}
	return fmt.Sprintf("kill -KILL %d", pid)
}

// lockUsers is the command that says who has a file open, or empty.
func (p Platform) lockUsers(path string) string {
	switch p {
	case Windows:
		return ""
	case MacOS:
		return "lsof " + p.Quote(path)
	}
	return "fuser -v " + p.Quote(path)
}

// load, memory, disk and network are the commands that show how busy each is.
func (p Platform) load() string {
	switch p {
	case MacOS:
		return "top -l 1 -n 15 -o cpu"
	case Windows:
		return `typeperf "\Processor(_Total)\% Processor Time" -sc 3`
	}
	return "top -b -n 1 | head -n 20"
}

func (p Platform) memory() string {
	switch p {
	case MacOS:
		return "vm_stat"
	case Windows:
		return `systeminfo | findstr /C:"Memory"`
	}
	return "free -m"
}

func (p Platform) disk() string {
	if p == Windows {
		return "fsutil volume diskfree %SystemDrive%"
	}
	return "df -h"
}

func (p Platform) network() string {
	if p == Linux {
		return "ss -s"
	}
	return "netstat -s"
}

// Quote makes a path one word of a command.
func (p Platform) Quote(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:=@,", r) || p == Windows && r == '\\'
	}
	if path != "" && strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	if p == Windows {
		return `"` + path + `"`
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
