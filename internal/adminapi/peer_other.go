//go:build !linux

package adminapi

import (
	"io/fs"
	"net"
	"runtime"
)

// peerUID: the mode of the socket and of its folder are all there is.
func peerUID(net.Conn) (uid int, known bool, err error) { return -1, false, nil }

// open says whether anybody but the owner may read the file. On Windows access
// lists say that, which the folder brings with it.
func open(info fs.FileInfo) bool { return runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 }
