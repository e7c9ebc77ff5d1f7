package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/upkeephub/upkeep/core/problem"
)

// newExplainCommand is host explain.
func newExplainCommand(c *cli) *cobra.Command {
	var list, guide bool
	cmd := &cobra.Command{
		Use: "explain [CODE]", Short: "explain an error code, or the last error",
		Long: `Explain says what an error code means, what causes it and what to do; host names
the code with each error. --list lists all codes. --guide is a troubleshooting
guide for the last error of a state directory, or with a CODE for that one.

Exit code 0, 1 when no error is remembered, 2 for a code that does not exist.`,
		Example: "  host explain port_conflict\n  host explain --list\n  host explain --guide",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return &usageError{"explain takes one code", "host explain --list lists them"}
			case list && (guide || len(args) > 0):
				return &usageError{"--list takes no code and no other flag", "host explain --list"}
			case len(args) == 0 && !list && !guide:
				return &usageError{"explain which code?", "host explain CODE, --list for all codes, or --guide for the last error"}
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return problem.Codes(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case list:
				return c.explainList()
			case guide && len(args) == 0:
				return c.explainLast()
			}
			of, err := pageOf(args[0])
			if err != nil {
				return err
			}
			if guide {
				return c.printGuide(&problem.Error{Code: of.Code, What: of.Title, Steps: of.Steps})
			}
			return c.print(of, func(p *page) { p.printf("%s", of.Text()) })
		},
	}
	c.hostFlags(cmd)
	c.outputFlags(cmd)
	cmd.Flags().BoolVar(&list, "list", false, "list all codes")
	cmd.Flags().BoolVar(&guide, "guide", false, "a troubleshooting guide for the last error, or for CODE")
	return cmd
}

// pageOf finds the page of a code, or names the code that was probably meant.
func pageOf(code string) (problem.Page, error) {
	if of, ok := problem.PageOf(code); ok {
		return of, nil
	}
	hint := "host explain --list lists all codes"
	if similar := problem.Similar(code); similar != "" {
		hint = fmt.Sprintf("did you mean %s? %s", similar, hint)
	}
	return problem.Page{}, &usageError{fmt.Sprintf("there is no error code %q", code), hint}
}

// codeLine is a code in the list.
type codeLine struct {
	Code  string `json:"code"`
	Title string `json:"title"`
}

func (c *cli) explainList() error {
	var lines []codeLine
	rows := [][]string{{"CODE", "MEANS"}}
	for _, code := range problem.Codes() {
		of, _ := problem.PageOf(code)
		lines = append(lines, codeLine{code, of.Title})
		rows = append(rows, []string{code, of.Title})
	}
	return c.print(lines, func(p *page) { p.table(rows) })
}

// explainLast is the guide for the last error of the state directory.
func (c *cli) explainLast() error {
	where, err := c.place()
	if err != nil {
		return err
	}
	last, err := c.recall(where.dir)
	if err != nil {
		why := err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			why = "no command has failed there yet"
		}
		return &problem.Error{
			Code: problem.NotFound, What: "no error is remembered in the state directory " + where.dir, Why: why, Err: err,
			Steps: []string{"name another one: host explain --guide --state-dir DIR", "or a code: host explain --guide CODE"},
		}
	}
	return c.printGuide(last)
}

// guideAnswer is the guide for programs.
type guideAnswer struct {
	Error *problem.Error `json:"error"`
	Guide string         `json:"guide"`
}

func (c *cli) printGuide(e *problem.Error) error {
	text := problem.Guide(problem.Here(), e)
	return c.print(guideAnswer{e, text}, func(p *page) { p.printf("%s", text) })
}
