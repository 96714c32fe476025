package main

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// podJudge checks pods against the Pod Security Standard "restricted".
type podJudge struct {
	evaluator policy.Evaluator
}

func newPodJudge() (podJudge, error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	return podJudge{evaluator}, err
}

func (j podJudge) judge(o object, typed runtime.Object) (problems []string) {
	path, metadata, pod := podOf(typed)
	if pod == nil {
		return nil
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range j.evaluator.EvaluatePod(restricted, metadata, pod) {
		if !result.Allowed {
			problems = append(problems, o.problem(path, "restricted: "+result.ForbiddenReason+": "+result.ForbiddenDetail))
		}
	}
	return problems
}

// podOf returns the object if it is a pod, or the pod that it creates, if any.
func podOf(typed runtime.Object) (string, *metav1.ObjectMeta, *corev1.PodSpec) {
	var template *corev1.PodTemplateSpec
	path := "spec.template.spec"
	switch o := typed.(type) {
	case *corev1.Pod:
		return "spec", &o.ObjectMeta, &o.Spec
	case *corev1.PodTemplate:
		path, template = "template.spec", &o.Template
	case *corev1.ReplicationController:
		template = o.Spec.Template
	case *appsv1.Deployment:
		template = &o.Spec.Template
	case *appsv1.StatefulSet:
		template = &o.Spec.Template
	case *appsv1.DaemonSet:
		template = &o.Spec.Template
	case *appsv1.ReplicaSet:
		template = &o.Spec.Template
	case *batchv1.Job:
		template = &o.Spec.Template
	case *batchv1.CronJob:
		path, template = "spec.jobTemplate.spec.template.spec", &o.Spec.JobTemplate.Spec.Template
	}
	if template == nil {
		return "", nil, nil
	}
	return path, &template.ObjectMeta, &template.Spec
}
