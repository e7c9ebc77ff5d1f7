package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/app"
	"github.com/upkeephub/upkeep/internal/scaffold"
)

// madePlugin is the answer of host plugins new.
type madePlugin struct {
	Folder string   `json:"folder"`
	Files  []string `json:"files"`
	// Next are the commands that build the plugin and try it.
	Next []string `json:"next"`
}

// newPluginsNewCommand is host plugins new.
func newPluginsNewCommand(c *cli) *cobra.Command {
	o := scaffold.Options{Version: app.Version}
	cmd := &cobra.Command{
		Use: "new NAME", Short: "write the folder of a new plugin", Args: operands("NAME"),
		Long: `New writes the folder DIR/NAME with a small plugin that works: it builds, and
"host plugins test" passes, before a line of it is changed. A checker looks at
the age of a file; a recovery strategy logs a warning and restarts a hub that
stays critical. Nothing is overwritten, and nothing is built or fetched; the
commands that do so are printed.

--lang go uses the package sdk of Upkeep's Go module: of the checkout that
--sdk names, or in which the new folder or this executable lies, else of this
host's release. --lang node needs Node.js 20 and npm; --lang python needs
grpcio and protobuf, which Debian has as python3-grpcio and python3-protobuf.

Exit code 0 when the folder was written, 2 for a name or a folder that will not
do.`,
		Example: "  host plugins new --lang go disk\n  host plugins new --lang python certificates --dir ./plugins\n  host plugins new --lang node gentle --kind recovery",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			switch {
			case o.Checkout != "" && !scaffold.IsCheckout(o.Checkout):
				return &usageError{"--sdk " + o.Checkout + " is no checkout of Upkeep", "name the folder whose go.mod says module " + scaffold.ModulePath}
			case o.Checkout == "" && o.Language == "go":
				o.Checkout = scaffold.Checkout(append([]string{o.Dir}, executableFolder()...)...)
			}
			if o.Language == "python" {
				o.Python = pythonWithGRPC(cmd.Context())
			}
			folder, files, err := scaffold.Write(o)
			var mistake *scaffold.Mistake
			switch {
			case errors.As(err, &mistake):
				return &usageError{mistake.What, mistake.Hint}
			case errors.Is(err, fs.ErrExist):
				return &usageError{filepath.Join(o.Dir, o.Name) + " is there already", "choose another name or --dir; nothing is overwritten"}
			case err != nil:
				return err
			}
			made := madePlugin{Folder: folder, Files: files, Next: scaffold.Next(o.Language, problem.Here().Quote(folder))}
			return c.print(made, func(p *page) {
				p.printf("%s: %s\n\nnext:\n", made.Folder, strings.Join(made.Files, " "))
				for _, step := range made.Next {
					p.printf("  %s\n", step)
				}
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Language, "lang", "", "language: "+strings.Join(scaffold.Languages, ", "))
	f.StringVar(&o.Kind, "kind", "checker", "what it is: "+strings.Join(scaffold.Kinds, ", "))
	f.StringVar(&o.Dir, "dir", ".", "folder in which its folder is made")
	f.StringVar(&o.Checkout, "sdk", "", "checkout of Upkeep that a Go plugin is built with (default: found as above)")
	c.outputFlags(cmd)
	return cmd
}

// executableFolder is where this executable lies; nothing if that is not known.
func executableFolder() []string {
	path, err := os.Executable()
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return nil
	}
	return []string{filepath.Dir(path)}
}

// pythonWithGRPC is the first interpreter that has what a plugin needs: python3
// as PATH has it, or that of the system; python3 if none has.
func pythonWithGRPC(ctx context.Context) string {
	const fallback = "python3"
	for _, python := range []string{fallback, "/usr/bin/python3"} {
		tried, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := exec.CommandContext(tried, python, "-c", "import grpc, google.protobuf").Run()
		cancel()
		if err == nil {
			return python
		}
	}
	return fallback
}
