package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring"
	"golang.org/x/tools/go/packages"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-tools/pkg/crd"
	crdmarkers "sigs.k8s.io/controller-tools/pkg/crd/markers"
	"sigs.k8s.io/controller-tools/pkg/loader"
	"sigs.k8s.io/controller-tools/pkg/markers"
	"sigs.k8s.io/yaml"
)

// The CRDs in modules.
var carried = []struct {
	module module
	file   string
}{
	{keda, "config/crd/bases/keda.sh_scaledobjects.yaml"},
	{keda, "config/crd/bases/keda.sh_triggerauthentications.yaml"},
	{knative, "config/core/300-resources/service.yaml"},
}

// No module proxy serves KEDA's HTTP add-on: the fields that its documentation names.
//
//go:embed keda-http.yaml
var kedaHTTP []byte

func loadDefinitions() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	all, err := generated("github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1",
		monitoring.GroupName, "PodMonitor", "ServiceMonitor", "PrometheusRule")
	if err != nil {
		return nil, err
	}
	for _, one := range carried {
		directory, err := one.module.directory()
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(filepath.Join(directory, one.file))
		if err != nil {
			return nil, err
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, definition); err != nil {
			return nil, fmt.Errorf("%s: %v", one.file, err)
		}
		all = append(all, definition)
	}
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(kedaHTTP, definition); err != nil {
		return nil, err
	}
	return append(all, definition), nil
}

// generated makes CRDs from the comments of Go types, with the same tool as the project: its module of types has
// no CRDs, and the proxy does not serve a new version of the module that has them.
func generated(path, group string, kinds ...string) (all []*apiextensionsv1.CustomResourceDefinition, err error) {
	roots, err := loader.LoadRoots(path)
	if err != nil {
		return nil, err
	}
	registry := &markers.Registry{}
	if err := crdmarkers.Register(registry); err != nil {
		return nil, err
	}
	parser := &crd.Parser{
		Collector:           &markers.Collector{Registry: registry},
		Checker:             &loader.TypeChecker{NodeFilters: []loader.NodeFilter{crd.Generator{}.CheckFilter()}},
		AllowDangerousTypes: true,
	}
	crd.AddKnownTypes(parser)
	for _, root := range roots {
		parser.NeedPackage(root)
	}
	for _, kind := range kinds {
		which := schema.GroupKind{Group: group, Kind: kind}
		parser.NeedCRDFor(which, nil)
		definition := parser.CustomResourceDefinitions[which]
		if len(definition.Spec.Versions) == 0 || loader.PrintErrors(roots, packages.TypeError) {
			return nil, fmt.Errorf("%s: no CRD for %s", path, kind)
		}
		crd.FixTopLevelMetadata(definition)
		all = append(all, &definition)
	}
	return all, nil
}
