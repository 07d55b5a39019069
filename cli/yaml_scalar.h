/* SPDX-License-Identifier: Apache-2.0 */
/* What YAML 1.1, as PyYAML reads it, makes of a plain scalar. Apart from yaml.c for its tests. */
#ifndef BL_YAML_SCALAR_H
#define BL_YAML_SCALAR_H

#include "cli/yaml.h"

/* Sets kind, integer and number from node->text. -ERANGE where an integer has no room. */
int bl_yaml_scalar_resolve(struct bl_yaml *node);

/* The same with an explicit tag ("tag:yaml.org,2002:int"): -EINVAL where the text is none such. */
int bl_yaml_scalar_tagged(struct bl_yaml *node, const char *tag);

#endif
