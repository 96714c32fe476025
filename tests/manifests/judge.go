package main

import (
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
)

// judge returns the errors of the object: "KIND/NAME: PATH: MESSAGE".
func (s *schemas) judge(o object) (problems []string) {
	if o.gvk.Group == "kustomize.config.k8s.io" {
		return decodeKustomization(o)
	}
	custom := s.customs[o.gvk]
	if custom == nil && !s.scheme.Recognizes(o.gvk) {
		return []string{o.problem("kind", "unknown kind "+o.gvk.String())}
	}
	var typed runtime.Object
	if s.scheme.Recognizes(o.gvk) {
		var err error
		if typed, err = s.scheme.New(o.gvk); err != nil {
			return []string{o.problem("", err.Error())}
		}
		problems = decodeTyped(o, typed)
	} else {
		problems = decodeMetadata(o)
	}
	if custom != nil {
		problems = append(problems, custom.judge(o)...)
	}
	if len(problems) == 0 {
		problems = slices.Concat(s.judgePublished(o), s.pods.judge(o, typed), judgePolicy(o, typed))
	}
	return slices.Compact(problems)
}

func (s *schemas) judgePublished(o object) []string {
	validator := s.openapis[o.gvk]
	if validator == nil {
		return nil
	}
	fields, err := o.fields()
	if err != nil {
		return []string{o.problem("", err.Error())}
	}
	return fieldProblems(o, validation.ValidateCustomResource(nil, fields, validator))
}
