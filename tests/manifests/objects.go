package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// object is one document of a file, as JSON.
type object struct {
	file string
	gvk  schema.GroupVersionKind
	name string
	json []byte
}

func (o object) problem(path, message string) string {
	if path == "" {
		path = "."
	}
	return fmt.Sprintf("%s/%s: %s: %s", o.gvk.Kind, o.name, path, message)
}

// fields is the object as maps, lists and values: a new copy, which may be changed.
func (o object) fields() (map[string]any, error) {
	var fields map[string]any
	err := kjson.UnmarshalCaseSensitivePreserveInts(o.json, &fields)
	return fields, err
}

// readObjects returns the objects of a file, and the errors in its documents.
func readObjects(file string) (objects []object, problems []string) {
	var text []byte
	var err error
	if file == "-" {
		text, err = io.ReadAll(os.Stdin)
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, []string{err.Error()}
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for number := 1; ; number++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, problems
		}
		one, err := readObject(file, document, err)
		if err != nil {
			problems = append(problems, fmt.Sprintf("document %d: %v", number, err))
			return objects, problems
		}
		if one != nil {
			objects = append(objects, *one)
		}
	}
}

// A document that is empty, or has only comments, is not an object. A duplicate key is an error.
func readObject(file string, document []byte, err error) (*object, error) {
	if err != nil {
		return nil, err
	}
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, err
	}
	if string(text) == "null" {
		return nil, nil
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name         string `json:"name"`
			GenerateName string `json:"generateName"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	version, err := schema.ParseGroupVersion(head.APIVersion)
	if err != nil {
		return nil, err
	}
	name := head.Metadata.Name + head.Metadata.GenerateName
	if name == "" {
		name = filepath.Base(file) // a kustomization has none
	}
	return &object{file: file, gvk: version.WithKind(head.Kind), name: name, json: text}, nil
}
