package main

import (
	"context"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
)

// judgeCompose loads the file as `docker compose config` does: schema, references between its parts, files that it
// names. There, a variable that is neither set nor has a default is empty, which is not an error.
func judgeCompose(file string) []string {
	options, err := cli.NewProjectOptions([]string{file},
		cli.WithWorkingDirectory(filepath.Dir(file)), cli.WithDotEnv, cli.WithInterpolation(true), cli.WithResolvedPaths(true))
	if err != nil {
		return []string{err.Error()}
	}
	if _, err := options.LoadProject(context.Background()); err != nil {
		return []string{err.Error()}
	}
	return nil
}
