package main

import (
	"errors"
	"fmt"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"
	kustomization "sigs.k8s.io/kustomize/api/types"
)

// The Go types of the kinds that may occur. A kind that is neither here nor in a CRD is refused.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	builder := runtime.NewSchemeBuilder(corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme,
		autoscalingv2.AddToScheme, policyv1.AddToScheme, networkingv1.AddToScheme, rbacv1.AddToScheme,
		admissionv1.AddToScheme, monitoringv1.AddToScheme)
	return scheme, builder.AddToScheme(scheme)
}

// decodeTyped fills the typed object, in which every field of the JSON must have its place and type.
func decodeTyped(o object, typed any) (problems []string) {
	strict, err := kjson.UnmarshalStrict(o.json, typed)
	if err != nil {
		return []string{decodingProblem(o, err)}
	}
	for _, err := range strict {
		problems = append(problems, decodingProblem(o, err))
	}
	return problems
}

// decodeMetadata does the same for the metadata of an object whose kind has no type here.
func decodeMetadata(o object) []string {
	var partial struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              any `json:"spec,omitempty"`
	}
	return decodeTyped(o, &partial)
}

// decodeKustomization is for what Kustomize reads.
func decodeKustomization(o object) []string {
	if err := new(kustomization.Kustomization).Unmarshal(o.json); err != nil {
		return []string{decodingProblem(o, err)}
	}
	return nil
}

func decodingProblem(o object, err error) string {
	path := ""
	var field interface{ FieldPath() string }
	if errors.As(err, &field) {
		path = field.FieldPath()
	}
	return o.problem(path, strings.TrimSpace(strings.ReplaceAll(err.Error(), fmt.Sprintf(" %q", path), "")))
}
