package main

import (
	"strings"

	celgo "github.com/google/cel-go/cel"
	celtypes "github.com/google/cel-go/common/types"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// An expression of a policy, and the type that it must have.
type expression struct {
	name, text string
	result     *celgo.Type
}

func (e expression) GetName() string            { return e.name }
func (e expression) GetExpression() string      { return e.text }
func (e expression) ReturnTypes() []*celgo.Type { return []*celgo.Type{e.result} }

// judgePolicy compiles the CEL of an admission policy as an API server does.
func judgePolicy(o object, typed runtime.Object) []string {
	switch policy := typed.(type) {
	case *admissionv1.MutatingAdmissionPolicy:
		spec := policy.Spec
		rest := append(matchConditions(spec.MatchConditions), mutations(spec.Mutations)...)
		return compileAll(o, spec.Variables, rest, plugincel.OptionalVariableDeclarations{HasAuthorizer: true, HasPatchTypes: true})
	case *admissionv1.ValidatingAdmissionPolicy:
		spec := policy.Spec
		rest := append(matchConditions(spec.MatchConditions), validations(spec.Validations)...)
		return compileAll(o, spec.Variables, rest, plugincel.OptionalVariableDeclarations{HasAuthorizer: true})
	}
	return nil
}

func compileAll(o object, variables []admissionv1.Variable, rest []expression,
	options plugincel.OptionalVariableDeclarations) (problems []string) {
	base := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	compiler, err := plugincel.NewCompositedCompiler(base)
	if err != nil {
		return []string{o.problem("", err.Error())}
	}
	judge := func(one expression, result plugincel.CompilationResult) {
		if result.Error != nil {
			problems = append(problems, o.problem(one.name, strings.Join(strings.Fields(result.Error.Error()), " ")))
		}
	}
	for _, variable := range variables {
		one := expression{variable.Name, variable.Expression, celgo.AnyType}
		judge(one, compiler.CompileAndStoreVariable(one, options, environment.NewExpressions))
	}
	for _, one := range rest {
		judge(one, compiler.CompileCELExpression(one, options, environment.NewExpressions))
	}
	return problems
}

func matchConditions(conditions []admissionv1.MatchCondition) (all []expression) {
	for _, one := range conditions {
		all = append(all, expression{"spec.matchConditions", one.Expression, celgo.BoolType})
	}
	return all
}

func mutations(list []admissionv1.Mutation) (all []expression) {
	for _, one := range list {
		if one.JSONPatch != nil {
			patches := celgo.ListType(celtypes.NewObjectType("JSONPatch"))
			all = append(all, expression{"spec.mutations", one.JSONPatch.Expression, patches})
		}
		if one.ApplyConfiguration != nil {
			all = append(all, expression{"spec.mutations", one.ApplyConfiguration.Expression, celtypes.NewObjectType("Object")})
		}
	}
	return all
}

func validations(list []admissionv1.Validation) (all []expression) {
	for _, one := range list {
		all = append(all, expression{"spec.validations", one.Expression, celgo.BoolType})
		if one.MessageExpression != "" {
			all = append(all, expression{"spec.validations.messageExpression", one.MessageExpression, celgo.StringType})
		}
	}
	return all
}
