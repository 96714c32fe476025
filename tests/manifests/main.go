// Checks the manifests of this project as an API server does, but without one: see README.md.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const usage = `usage: manifests check FILE...      every object in these files ("-" is standard input)
       manifests compose FILE...    Compose files
       manifests bad DIRECTORY      every file there must be refused, as its first line says
       manifests kustomize DIR      prints what a kustomization builds
`

func main() {
	if len(os.Args) < 3 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	var ok bool
	var err error
	switch arguments := os.Args[2:]; os.Args[1] {
	case "check":
		ok, err = checkAll(arguments)
	case "compose":
		ok = composeAll(arguments)
	case "bad":
		ok, err = refusesAll(arguments[0])
	case "kustomize":
		ok, err = true, kustomize(arguments[0])
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func checkAll(files []string) (bool, error) {
	schemas, err := loadSchemas()
	if err != nil {
		return false, err
	}
	ok := true
	for _, file := range files {
		objects, problems := readObjects(file)
		for _, object := range objects {
			problems = append(problems, schemas.judge(object)...)
		}
		if len(objects) == 0 {
			problems = append(problems, "there is no object in it")
		}
		ok = report(file, fmt.Sprintf("objects: %d", len(objects)), problems) && ok
	}
	return ok, nil
}

func composeAll(files []string) bool {
	ok := true
	for _, file := range files {
		ok = report(file, "compose", judgeCompose(file)) && ok
	}
	return ok
}

// The first line of each file is a comment: "# refused: PART OF THE MESSAGE".
func refusesAll(directory string) (bool, error) {
	files, err := filepath.Glob(filepath.Join(directory, "*.yaml"))
	if err != nil || len(files) == 0 {
		return false, fmt.Errorf("no file in %s (%v)", directory, err)
	}
	schemas, err := loadSchemas()
	if err != nil {
		return false, err
	}
	ok := true
	for _, file := range files {
		ok = report(file, "is refused", acceptance(schemas, file)) && ok
	}
	return ok, nil
}

// The problems with the result for a bad file.
func acceptance(schemas *schemas, file string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return []string{err.Error()}
	}
	line, _, _ := strings.Cut(string(text), "\n")
	wanted, found := strings.CutPrefix(line, "# refused: ")
	if !found {
		return []string{"its first line does not say why it is refused"}
	}
	var problems []string
	if strings.HasPrefix(filepath.Base(file), "compose-") {
		problems = judgeCompose(file)
	} else {
		var objects []object
		objects, problems = readObjects(file)
		for _, object := range objects {
			problems = append(problems, schemas.judge(object)...)
		}
	}
	if len(problems) == 1 && strings.Contains(problems[0], wanted) {
		return nil
	}
	return []string{fmt.Sprintf("wanted one problem with %q, found %q", wanted, problems)}
}

func report(file, what string, problems []string) bool {
	if len(problems) == 0 {
		fmt.Printf("PASS manifests %s: %s\n", file, what)
		return true
	}
	for _, problem := range problems {
		fmt.Printf("%s: %s\n", file, problem)
	}
	fmt.Printf("FAIL manifests %s\n", file)
	return false
}
