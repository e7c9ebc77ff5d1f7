package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/core/spelling"
)

// usageError is a mistake on the command line.
type usageError struct{ what, hint string }

func (e *usageError) Error() string { return e.what + "\nhost: hint: " + e.hint }

// problem is the mistake for programs.
func (e *usageError) problem() *problem.Error {
	return &problem.Error{Code: problem.Usage, What: e.what, Steps: []string{e.hint}}
}

// portFlag is the value of a flag that takes a TCP port.
type portFlag struct {
	port   *int
	lowest int // 0 or 1: whether "any free one" is a port there
}

// Set reads a port, or says what one is.
func (f portFlag) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < f.lowest || n > 65535 {
		hint := "give a number from 1 to 65535"
		if f.lowest == 0 {
			hint += ", or 0 for any free one (with --state-dir)"
		}
		return &usageError{fmt.Sprintf("--port %q is no port", text), hint}
	}
	*f.port = n
	return nil
}

func (f portFlag) String() string {
	if f.port == nil { // the zero value, which pflag compares with
		return ""
	}
	return strconv.Itoa(*f.port)
}

// Type is what help shows behind the flag.
func (portFlag) Type() string { return "int" }

// flagError puts what the flag library says about a command's flags into our words.
func flagError(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); len(words) > 0 && cmd.HasSubCommands() { // before the flag, so the flag may be right
		return unknownCommand(cmd, words[0])
	}
	all := cmd.CommandPath() + " --help lists the flags"
	if mistake, ok := errors.AsType[*usageError](err); ok {
		return mistake
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		hint := all
		if near := spelling.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			hint = fmt.Sprintf("did you mean --%s? %s", near, all)
		}
		return &usageError{"unknown flag: --" + unknown.GetSpecifiedName(), hint}
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return &usageError{fmt.Sprintf("--%s needs a value", missing.GetFlag().Name), all}
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		what, hint := "no value for it", all
		switch invalid.GetFlag().Value.Type() {
		case "int":
			what, hint = "no number", "give a number such as 20"
		case "duration":
			what, hint = "no time", "give a time such as 10s, 5m or 24h"
		case "bool":
			what, hint = "neither true nor false", fmt.Sprintf("give --%[1]s, or --%[1]s=false", invalid.GetFlag().Name)
		}
		return &usageError{fmt.Sprintf("--%s %q is %s", invalid.GetFlag().Name, invalid.GetValue(), what), hint}
	}
	return &usageError{err.Error(), all}
}

// unknownCommand is the mistake of a word that is no command below cmd.
func unknownCommand(cmd *cobra.Command, word string) error {
	cmd.SuggestionsMinimumDistance = 2
	path, hint := strings.TrimPrefix(cmd.CommandPath()+" ", "host "), cmd.CommandPath()+" --help lists the commands"
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s %s? %s", cmd.CommandPath(), strings.Join(near, " or "), hint)
	}
	return &usageError{fmt.Sprintf("unknown command %q", path+word), hint}
}
