// Command fields prints what the types of Kubernetes say of their fields and its OpenAPI does not:
// `src/types/fields.txt`.
package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kubernetes/pkg/generated/openapi"
)

var described = openapi.GetOpenAPIDefinitions(func(path string) spec.Ref {
	return spec.MustCreateRef(path)
})

// groups are those that are served.
var groups = []string{
	"", "admissionregistration.k8s.io", "apps", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
	"coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "networking.k8s.io",
	"node.k8s.io", "policy", "rbac.authorization.k8s.io", "scheduling.k8s.io", "storage.k8s.io",
}

func main() {
	structs := map[string]string{}
	for kind, goType := range scheme.Scheme.AllKnownTypes() {
		isStable := kind.Version == "v1" || kind.Group == "autoscaling" && kind.Version == "v2"
		isObject := kind.Kind == "Scale" || goType.Field(1).Name == "ObjectMeta"
		if isStable && isObject && slices.Contains(groups, kind.Group) {
			visit(goType, structs)
		}
	}
	visit(reflect.TypeFor[apiextensions.CustomResourceDefinition](), structs)
	for _, name := range slices.Sorted(maps.Keys(structs)) {
		if structs[name] != "" {
			fmt.Println(name + structs[name])
		}
	}
}

// visit adds a struct, and those in its fields.
func visit(goType reflect.Type, structs map[string]string) {
	for goType.Kind() == reflect.Pointer || goType.Kind() == reflect.Slice || goType.Kind() == reflect.Map {
		goType = goType.Elem()
	}
	if goType.Kind() != reflect.Struct || isOpaque(goType) {
		return
	}
	name := definition(goType)
	if _, known := structs[name]; known {
		return
	}
	structs[name] = ""
	structs[name] = fields(goType, described[path(goType)], structs)
}

// fields tells of the fields of a struct that are not as their type lets expect.
func fields(owner reflect.Type, definition common.OpenAPIDefinition, structs map[string]string) string {
	told := ""
	for at := range owner.NumField() {
		field := owner.Field(at)
		tag := strings.Split(field.Tag.Get("json"), ",")
		if isObject := owner.Field(0).Name == "TypeMeta"; isObject && (field.Name == "TypeMeta" || field.Name == "ObjectMeta") {
			continue
		}
		if tag[0] == "-" || tag[0] == "" && !slices.Contains(tag, "inline") {
			continue
		}
		if slices.Contains(tag, "inline") {
			told += fields(field.Type, definition, structs)
			continue
		}
		visit(field.Type, structs)
		enum := enumOf(definition.Schema.Properties[tag[0]])
		if one := presence(field.Type, tag[1:]) + textName(field.Type) + enum; one != "" {
			told += " " + tag[0] + one
		}
	}
	return told
}

// presence is `!` for a field that is always written, `?` for one that is null then, and `~` for one that is not written
// when it is zero. The others are written when they are set; lists and maps, when they are not empty.
func presence(goType reflect.Type, options []string) string {
	omitted := slices.Contains(options, "omitempty")
	zeroOmitted := slices.Contains(options, "omitzero")
	switch goType.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if !omitted {
			return "?"
		}
		return ""
	case reflect.Struct:
		if !zeroOmitted {
			return "!"
		}
		return ""
	}
	if omitted {
		return "~"
	}
	return "!"
}

// textName is the name of a type of text that has one, of itself or of its elements.
func textName(goType reflect.Type) string {
	for goType.Kind() == reflect.Pointer || goType.Kind() == reflect.Slice || goType.Kind() == reflect.Map {
		goType = goType.Elem()
	}
	if goType.Kind() != reflect.String || goType.Name() == "string" {
		return ""
	}
	return ":" + goType.String()
}

func enumOf(schema spec.Schema) string {
	values := schema.Enum
	if schema.Items != nil && schema.Items.Schema != nil {
		values = schema.Items.Schema.Enum
	}
	if len(values) == 0 {
		return ""
	}
	told := []string{}
	for _, value := range values {
		told = append(told, fmt.Sprint(value))
	}
	return "=" + strings.Join(told, "|")
}

// isOpaque says that a type is a value of its own in OpenAPI.
func isOpaque(goType reflect.Type) bool {
	switch goType.Name() {
	case "Time", "MicroTime", "Quantity", "IntOrString", "FieldsV1", "RawExtension", "JSON", "Duration":
		return true
	}
	return false
}

func path(goType reflect.Type) string {
	return goType.PkgPath() + "." + goType.Name()
}

// definition is the name that OpenAPI gives a type.
func definition(goType reflect.Type) string {
	parts := strings.Split(goType.PkgPath(), "/")
	host := strings.Split(parts[0], ".")
	slices.Reverse(host)
	return strings.Join(append(append(host, parts[1:]...), goType.Name()), ".")
}
