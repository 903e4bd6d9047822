"""Holds rendered Kubernetes objects against what deploy/ promises: `manifests.py FILE...`.

Pod Security "restricted", no CPU limit, probes beyond loopback, no secret's value, no wildcard in RBAC.
"""

import sys

import yaml

FAILED = []


def hold(truth, where, promise):
    if not truth:
        FAILED.append(f"{where}: {promise}")


def pods(thing):
    """The pod templates of an object."""
    template = thing.get("spec", {}).get("template")
    return [template["spec"]] if template else []


def containers(pod):
    return pod.get("initContainers", []) + pod.get("containers", [])


def pod(where, spec):
    security = spec.get("securityContext", {})
    hold(spec.get("terminationGracePeriodSeconds", 0) > 0, where, "terminationGracePeriodSeconds is set")
    hold(security.get("runAsNonRoot") is True, where, "runAsNonRoot")
    hold(security.get("seccompProfile", {}).get("type") == "RuntimeDefault", where, "seccomp RuntimeDefault")
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        hold(not spec.get(forbidden), where, f"no {forbidden}")
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        hold(kinds <= {"configMap", "emptyDir", "persistentVolumeClaim"}, where, f"volume {volume['name']} is restricted")
    for container in containers(spec):
        one(f"{where} {container['name']}", container, container["name"] == "pacecar")


def one(where, container, ours):
    security = container.get("securityContext", {})
    hold("pacecar" in container["image"], where, "the image's name holds pacecar")
    hold(security.get("allowPrivilegeEscalation") is False, where, "no privilege escalation")
    hold(security.get("readOnlyRootFilesystem") is True, where, "the root file system is read only")
    hold(security.get("capabilities", {}).get("drop") == ["ALL"], where, "all capabilities are dropped")
    resources = container.get("resources", {})
    hold("cpu" not in resources.get("limits", {}), where, "no CPU limit")
    hold("memory" in resources.get("limits", {}), where, "a memory limit")
    hold("cpu" in resources.get("requests", {}), where, "a CPU request")
    for variable in container.get("env", []):
        secret = any(word in variable["name"] for word in ("PASSWORD", "TOKEN", "SECRET", "DATABASE_URL", "REDIS_URL"))
        hold(not (secret and "value" in variable), where, f"{variable['name']} is a reference")
    if ours:
        hold("livenessProbe" in container, where, "a liveness probe")
        arguments = container["args"]
        port = container["ports"][0]["containerPort"]
        hold(f"0.0.0.0:{port}" in arguments, where, "the probes' port listens beyond loopback")


def thing(source, document):
    kind, name = document["kind"], document["metadata"]["name"]
    where = f"{source}: {kind} {name}"
    hold(kind != "Secret", where, "no manifest holds a secret")
    for spec in pods(document):
        pod(where, spec)
    if kind in ("Role", "ClusterRole"):
        for rule in document["rules"]:
            for values in rule.values():
                hold("*" not in values, where, "no wildcard")
    if kind == "Job":
        spec = document["spec"]
        hold(spec["completions"] == spec["parallelism"], where, "completions are parallelism")
        hold(spec["completionMode"] == "Indexed", where, "an Indexed Job")
        workers = [e["value"] for e in containers(spec["template"]["spec"])[0]["env"] if e["name"] == "JOB_COMPLETIONS"]
        hold(workers == [str(spec["completions"])], where, "JOB_COMPLETIONS is completions")
    if kind == "ConfigMap":
        for file, text in document.get("data", {}).items():
            # The plan that --set-file gives is the user's own.
            if file != "plan.yaml":
                hold(":-secret}" not in text, f"{where} {file}", "no default password")


def main(files):
    kinds = {}
    for file in files:
        source = file.rsplit("/", 1)[-1]
        with open(file, encoding="utf-8") as text:
            for document in filter(None, yaml.safe_load_all(text)):
                kinds.setdefault(source, []).append(document)
                thing(source, document)
    for source in ("kustomize-base.yaml", "kustomize-staging.yaml"):
        sidecars = [c for d in kinds[source] for p in pods(d) for c in p.get("initContainers", [])]
        hold([c.get("restartPolicy") for c in sidecars] == ["Always"], source, "a native sidecar")
    for source in ("kustomize-base.yaml", "helm-default.yaml"):
        there = {d["kind"] for d in kinds[source]}
        hold({"Deployment", "NetworkPolicy", "Role", "ServiceAccount"} <= there, source, f"all that is promised, not only {there}")
    for failure in FAILED:
        print(f"deploy: {failure}: does not hold", file=sys.stderr)
    return 1 if FAILED else 0


sys.exit(main(sys.argv[1:]))
