package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// schemas has all that objects are checked against.
type schemas struct {
	scheme   *runtime.Scheme
	openapis map[schema.GroupVersionKind]validation.SchemaValidator
	customs  map[schema.GroupVersionKind]*custom
	pods     podJudge
}

// custom judges the objects of one version of a CRD.
type custom struct {
	structural *structural.Structural
	validator  validation.SchemaValidator
	rules      *cel.Validator
}

func loadSchemas() (*schemas, error) {
	s := &schemas{
		openapis: map[schema.GroupVersionKind]validation.SchemaValidator{},
		customs:  map[schema.GroupVersionKind]*custom{},
	}
	var err error
	if s.scheme, err = newScheme(); err != nil {
		return nil, err
	}
	if s.pods, err = newPodJudge(); err != nil {
		return nil, err
	}
	definitions, err := loadDefinitions()
	if err != nil {
		return nil, err
	}
	for _, definition := range definitions {
		if err := s.addDefinition(definition); err != nil {
			return nil, fmt.Errorf("%s: %v", definition.Name, err)
		}
	}
	return s, s.addOpenAPI()
}

// ---- CRDs -----------------------------------------------------------------------------------------

func (s *schemas) addDefinition(definition *apiextensionsv1.CustomResourceDefinition) error {
	for _, version := range definition.Spec.Versions {
		if version.Schema == nil || version.Schema.OpenAPIV3Schema == nil {
			return fmt.Errorf("%s has no schema", version.Name)
		}
		var properties apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
			version.Schema.OpenAPIV3Schema, &properties, nil); err != nil {
			return err
		}
		one, err := newCustom(&properties)
		if err != nil {
			return err
		}
		kind := schema.GroupVersionKind{Group: definition.Spec.Group, Version: version.Name, Kind: definition.Spec.Names.Kind}
		s.customs[kind] = one
	}
	return nil
}

func newCustom(properties *apiextensions.JSONSchemaProps) (*custom, error) {
	validator, _, err := validation.NewSchemaValidator(properties)
	if err != nil {
		return nil, err
	}
	shape, err := structural.NewStructural(properties)
	if err != nil {
		return nil, err
	}
	return &custom{shape, validator, cel.NewValidator(shape, true, celconfig.PerCallLimit)}, nil
}

// judge does what the API server does with an object of that kind: unknown fields, defaults, the schema, rules.
func (c *custom) judge(o object) (problems []string) {
	fields, err := o.fields()
	if err != nil {
		return []string{o.problem("", err.Error())}
	}
	tracking := structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(fields, c.structural, true, tracking) {
		problems = append(problems, o.problem(path, "unknown field"))
	}
	defaulting.Default(fields, c.structural)
	found := validation.ValidateCustomResource(nil, fields, c.validator)
	if len(found) == 0 && c.rules != nil { // rules require a valid structure
		found, _ = c.rules.Validate(context.Background(), nil, c.structural, fields, nil, celconfig.RuntimeCELCostBudget)
	}
	return append(problems, fieldProblems(o, found)...)
}

func fieldProblems(o object, found field.ErrorList) (problems []string) {
	for _, err := range found {
		problems = append(problems, o.problem(strings.TrimPrefix(err.Field, "<nil>."), err.ErrorBody()))
	}
	return problems
}

// ---- the published schemas of Kubernetes ----------------------------------------------------------

// addOpenAPI reads the documents of the groups that the scheme has. They name the required fields,
// which Go types do not.
func (s *schemas) addOpenAPI() error {
	directory, err := kubernetes.directory()
	if err != nil {
		return err
	}
	for _, version := range s.scheme.PrioritizedVersionsAllGroups() {
		name := "apis__" + version.Group + "__" + version.Version
		if version.Group == "" {
			name = "api__" + version.Version
		}
		text, err := os.ReadFile(filepath.Join(directory, "api/openapi-spec/v3", name+"_openapi.json"))
		if os.IsNotExist(err) && s.hasCustom(version) {
			continue
		}
		if err != nil {
			return err
		}
		if err := s.addDocument(version, text); err != nil {
			return fmt.Errorf("%s: %v", name, err)
		}
	}
	return nil
}

func (s *schemas) hasCustom(version schema.GroupVersion) bool {
	for kind := range s.customs {
		if kind.GroupVersion() == version {
			return true
		}
	}
	return false
}

func (s *schemas) addDocument(version schema.GroupVersion, text []byte) error {
	var document struct {
		Components struct {
			Schemas map[string]map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return err
	}
	for name, one := range document.Components.Schemas {
		kind := name[strings.LastIndex(name, ".")+1:]
		if _, isKind := one["x-kubernetes-group-version-kind"]; !isKind || !s.scheme.Recognizes(version.WithKind(kind)) {
			continue
		}
		whole, err := json.Marshal(expand(one, document.Components.Schemas))
		if err != nil {
			return err
		}
		parsed := &spec.Schema{}
		if err := json.Unmarshal(whole, parsed); err != nil {
			return err
		}
		s.openapis[version.WithKind(kind)] = validation.NewSchemaValidatorFromOpenAPI(parsed)
	}
	return nil
}

// expand puts the schema that a reference names in its place. None of the kinds here contains itself. The only
// use of "allOf" in these documents is to give one reference a description.
func expand(value any, all map[string]map[string]any) any {
	switch v := value.(type) {
	case map[string]any:
		if reference, ok := v["$ref"].(string); ok {
			return expand(all[strings.TrimPrefix(reference, "#/components/schemas/")], all)
		}
		if v["format"] == "int-or-string" {
			return map[string]any{"x-kubernetes-int-or-string": true, "type": []any{"integer", "string"}}
		}
		if one, ok := v["allOf"].([]any); ok && len(one) == 1 {
			return expand(one[0], all)
		}
		out := make(map[string]any, len(v))
		for key, one := range v {
			out[key] = expand(one, all)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = expand(one, all)
		}
		return out
	}
	return value
}
