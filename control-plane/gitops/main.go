// Verdicts prints the health of Kubernetes objects as GitOps tools see it, with the libraries of these tools.
//
//	verdicts kstatus OBJECT...            how Helm's --wait and Flux judge
//	verdicts flux KUSTOMIZATION OBJECT... how Flux judges by the healthCheckExprs of a Kustomization
//	verdicts lua SCRIPT OBJECT...         what a script of Argo CD's returns for the object
//
// Objects are YAML files. Each gives one line of JSON in the given order. The error of a script is a line {"error":
// ...}.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const usage = "must be called as: verdicts kstatus OBJECT... | flux KUSTOMIZATION OBJECT... | lua SCRIPT OBJECT..."

// A judge returns the health of an object.
type judge func(*unstructured.Unstructured) (any, error)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "verdicts:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	judge, files, err := summon(arguments)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(os.Stdout)
	for _, file := range files {
		object, err := read(file)
		if err != nil {
			return err
		}
		verdict, err := judge(object)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := lines.Encode(verdict); err != nil {
			return err
		}
	}
	return nil
}

// summon returns the judge, and the files with the objects.
func summon(arguments []string) (judge, []string, error) {
	if len(arguments) < 2 {
		return nil, nil, errors.New(usage)
	}
	switch arguments[0] {
	case "kstatus":
		return judgeByKstatus, arguments[1:], nil
	case "flux":
		judge, err := fluxJudge(arguments[1])
		return judge, arguments[2:], err
	case "lua":
		script, err := os.ReadFile(arguments[1])
		return luaJudge(string(script)), arguments[2:], err
	}
	return nil, nil, errors.New(usage)
}

func judgeByKstatus(object *unstructured.Unstructured) (any, error) {
	result, err := status.Compute(object)
	if err != nil {
		return nil, err
	}
	return map[string]string{"status": result.Status.String(), "message": result.Message}, nil
}

// fluxJudge evaluates the first expressions of a Kustomization that are for the kind of an object.
func fluxJudge(file string) (judge, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var kustomization struct {
		Spec struct {
			HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &kustomization); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return func(object *unstructured.Unstructured) (any, error) {
		for _, check := range kustomization.Spec.HealthCheckExprs {
			if check.APIVersion != object.GetAPIVersion() || (check.Kind != "" && check.Kind != object.GetKind()) {
				continue
			}
			evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
			if err != nil {
				return nil, err
			}
			result, err := evaluator.Evaluate(context.Background(), object)
			if err != nil {
				return nil, err
			}
			return map[string]string{"status": result.Status.String()}, nil
		}
		return nil, fmt.Errorf("%s must have an expression for %s", file, object.GroupVersionKind())
	}, nil
}

func read(file string) (*unstructured.Unstructured, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text, err = yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(text); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return object, nil
}
