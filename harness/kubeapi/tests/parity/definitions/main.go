// Command definitions prints the CustomResourceDefinitions of Cilium and of the Multi-Cluster Services API as one
// stream of YAML documents.
package main

import (
	"embed"
	"fmt"
	"io/fs"
	"log"
	"os"

	v2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2"
	"github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2alpha1"
	mcs "sigs.k8s.io/mcs-api/config/crd"
)

func main() {
	documents := [][]byte{mcs.ServiceExportCRD, mcs.ServiceImportCRD}
	for _, files := range []embed.FS{v2.EmbedFS, v2alpha1.EmbedFS} {
		paths, err := fs.Glob(files, "*.yaml")
		if err != nil {
			log.Fatal(err)
		}
		for _, path := range paths {
			document, err := files.ReadFile(path)
			if err != nil {
				log.Fatal(err)
			}
			documents = append(documents, document)
		}
	}
	for _, document := range documents {
		if _, err := fmt.Fprintf(os.Stdout, "---\n%s\n", document); err != nil {
			log.Fatal(err)
		}
	}
}
