// Reports the usage of one window, with the dynamic client of k8s.io/client-go.
//
//	report NAMESPACE ACCOUNT SOURCE START END QUANTITY
//	report team-a acme gw-eu-1 2026-01-31T10:00:00Z 2026-01-31T11:00:00Z 250000
//
// The name of the report follows from source, account and start of the window, so you can run it again after any error:
// the API server accepts a name once.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	v1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

var reports = schema.GroupVersionResource{
	Group: "billing.flashgate.dev", Version: "v1alpha1", Resource: "usagereports",
}

// report creates the report and returns its name.
func report(ctx context.Context, client dynamic.Interface, namespace, account, source, start, end, quantity string) (
	string, error,
) {
	name := source + "." + account + "." + strings.NewReplacer("-", "", ":", "", "T", "", "Z", "").Replace(start)
	spec := map[string]any{
		"subscriptionRef": map[string]any{"name": account},
		"source":          source,
		"window":          map[string]any{"startTime": start, "endTime": end},
		"usage":           []any{map[string]any{"nodeType": "Public", "operation": "TokensOut", "quantity": quantity}},
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageReport",
		"metadata": map[string]any{"name": name}, "spec": spec,
	}}
	var err error
	for _, pause := range []time.Duration{1, 2, 4, 8, 0} {
		_, err = client.Resource(reports).Namespace(namespace).Create(ctx, object, v1.CreateOptions{})
		if err == nil {
			return name, nil
		}
		if errors.IsAlreadyExists(err) {
			// An earlier try was accepted, even if its answer was lost.
			existing, getErr := client.Resource(reports).Namespace(namespace).Get(ctx, name, v1.GetOptions{})
			if getErr == nil {
				found, _, _ := unstructured.NestedMap(existing.Object, "spec")
				for field, value := range spec {
					if !reflect.DeepEqual(found[field], value) {
						return "", fmt.Errorf("%s exists with other content: %v instead of %v", name, found, spec)
					}
				}
				return name, nil
			}
		}
		if errors.IsBadRequest(err) || errors.IsForbidden(err) || errors.IsInvalid(err) || errors.IsNotFound(err) {
			break
		}
		time.Sleep(pause * time.Second)
	}
	return "", fmt.Errorf("%s was not created: %w", name, err)
}

func run(arguments []string) error {
	if len(arguments) != 6 {
		return fmt.Errorf("usage: report NAMESPACE ACCOUNT SOURCE START END QUANTITY")
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules() // KUBECONFIG, or the ServiceAccount of the pod.
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	a := arguments
	name, err := report(context.Background(), client, a[0], a[1], a[2], a[3], a[4], a[5])
	if err == nil {
		fmt.Println(name)
	}
	return err
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
