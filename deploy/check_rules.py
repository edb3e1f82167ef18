"""Rules that a schema does not know, on the rendered YAML. Prints what breaks one; exit code 1 if anything does."""

import argparse
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROLES = {"api", "issuer", "challenge-responder", "scheduler", "c4-uploader", "console", "notifier"}
# Clients come to these by a Service.
SERVING = {"api", "challenge-responder", "console"}
# What the program takes at most from the end of the drain to its own.
STOPS_WITHIN = 30
SEALING = {"api", "issuer", "c4-uploader"}
OURS = re.compile(r"(^|/)ssl-manager(-sandbox)?(:|@|$)")
# Images of others without a digest; deploy/README.md says why.
BY_TAG = {"rabbitmq", "otel/opentelemetry-collector"}
# What Compose and the overlays want of each repository of others.
versions = {}
problems = []


def problem(where, what):
    problems.append(f"{where}: {what}")


def check_image(where, image):
    if OURS.search(image):
        if image.endswith(":latest") or not re.search(r"ssl-manager(-sandbox)?[:@]\S", image):
            problem(where, f"image {image!r} has no version")
        return
    name, _, digest = image.partition("@")
    repository, _, tag = name.partition(":")
    if not tag and not digest or tag == "latest":
        problem(where, f"image {image!r} has no version")
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest) and repository not in BY_TAG:
        problem(where, f"image {image!r} has no digest")
    others = versions.setdefault(repository, {})
    others[digest or tag] = where
    if len(others) > 1:
        problem(where, f"{repository} is another image than in {' and '.join(others.values())}")


def check_named_once():
    """Images have one place each: the heads of the Dockerfile and of the Compose file, `images` of a kustomization."""
    for file in [*ROOT.glob("deploy/k8s/**/*.yaml"), *ROOT.glob("deploy/k8s/**/*.sh")]:
        for image in re.findall(r"^[ -]*image: *(\S+)", file.read_text(), re.M):
            if re.search(r"[:@/]", image):
                problem(file.name, f"names the image {image!r}; its place is `images` of a kustomization.yaml")
    compose = (ROOT / "docker-compose.yml").read_text()
    for image in re.findall(r"^ *image: *(\S+)", compose, re.M):
        if not image.startswith("*") and not OURS.search(image):
            problem("docker-compose.yml", f"names the image {image!r} in a service; its place is `x-images`")
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    bases = dict(re.findall(r"^ARG (\w+_BASE)=(\S+)", dockerfile, re.M))
    for name, image in bases.items():
        check_image(f"Dockerfile: {name}", image)
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", dockerfile, re.M))
    for image in re.findall(r"^FROM (\S+)", dockerfile, re.M):
        if image not in stages and image.strip("${}") not in bases:
            problem("Dockerfile", f"begins with {image!r}, which is no argument")


def pod_template(resource):
    spec = resource.get("spec", {})
    return spec.get("template") if resource["kind"] in {"Deployment", "StatefulSet", "DaemonSet", "Job"} else None


def sources(volumes):
    """The Secrets and ConfigMaps of a pod's volumes: (kind, name)."""
    for volume in volumes:
        for source in volume.get("projected", {}).get("sources", []):
            for kind in ("secret", "configMap"):
                if kind in source:
                    yield kind, source[kind]["name"]
        if "secret" in volume:
            yield "secret", volume["secret"]["secretName"]
        if "configMap" in volume:
            yield "configMap", volume["configMap"]["name"]


def check_container(where, kind, pod, container):
    check_image(where, container.get("image", ""))
    own = container.get("securityContext", {})
    whole = pod.get("securityContext", {})
    if own.get("allowPrivilegeEscalation") is not False:
        problem(where, "allowPrivilegeEscalation is not false")
    if own.get("readOnlyRootFilesystem") is not True:
        problem(where, "the root file system is not read-only")
    if own.get("capabilities", {}).get("drop") != ["ALL"]:
        problem(where, "does not drop ALL capabilities")
    if not own.get("runAsNonRoot", whole.get("runAsNonRoot")):
        problem(where, "runAsNonRoot is not set")
    if not own.get("runAsUser", whole.get("runAsUser")):
        problem(where, "runs as root, or as whoever the image says")
    if own.get("seccompProfile", whole.get("seccompProfile", {})).get("type") != "RuntimeDefault":
        problem(where, "seccompProfile is not RuntimeDefault")
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
        problem(where, "requests of cpu and memory and a limit of memory are missing")
    if kind != "Job":
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe not in container:
                problem(where, f"{probe} is missing")


def check_drain(where, name, pod, name_of):
    """The ports stay open until the nodes' tables are without the copy, and the end of it is not cut off."""
    used = [of for source, of in sources(pod.get("volumes", [])) if source == "configMap"]
    settings = "".join(str(name_of.get(("ConfigMap", of), {}).get("data", {})) for of in used)
    found = re.search(r"drain_seconds = (\d+)", settings)
    seconds = int(found.group(1)) if found else 0
    if (seconds > 0) != (name in SERVING):
        problem(where, f"admin.drain_seconds is {seconds}")
    if pod.get("terminationGracePeriodSeconds", 30) < seconds + STOPS_WITHIN:
        problem(where, "terminationGracePeriodSeconds is shorter than drain and stop")


def check_trust(where, pod, name_of):
    """No public CA signs a name without a dot: who calls one by https has a root for it. (A file that is not there ends a
    process at its start.)"""
    volumes = pod.get("volumes", [])
    settings = "".join(
        text
        for source, of in sources(volumes)
        if source == "configMap"
        for text in name_of.get(("ConfigMap", of), {}).get("data", {}).values()
    )
    for section in re.split(r"^(?=\[)", settings, flags=re.M):
        inside = re.search(r'(?<!public_)url = "https://[^./":]+(:\d+)?[/"]', section)
        if inside and "root_certificate_file" not in section:
            problem(where, f"trusts nobody who could sign the certificate of {inside.group(0)}")


def check_kubernetes(path):
    resources = [document for document in yaml.safe_load_all(path.read_text()) if document]
    name_of = {(resource["kind"], resource["metadata"]["name"]): resource for resource in resources}
    generated = {name for kind, name in name_of if kind == "ConfigMap"}
    for resource in resources:
        kind, name = resource["kind"], resource["metadata"]["name"]
        where = f"{path.stem}: {kind}/{name}"
        if kind == "Secret":
            problem(where, "a Secret does not belong into the repository")
        if kind == "ConfigMap" and re.search(r"PRIVATE KEY|postgres://[^/\s]*:[^/\s]*@", str(resource.get("data"))):
            problem(where, "holds a secret")
        if kind != "Namespace" and resource["metadata"].get("namespace") != "ssl-manager":
            problem(where, "is not in our namespace")
        if kind == "ServiceAccount" and resource.get("automountServiceAccountToken") is not False:
            problem(where, "automountServiceAccountToken is not false")
        template = pod_template(resource)
        if template is None:
            continue
        pod = template["spec"]
        if pod.get("automountServiceAccountToken") is not False:
            problem(where, "automountServiceAccountToken is not false")
        if ("ServiceAccount", pod.get("serviceAccountName")) not in name_of:
            problem(where, "has no service account of its own")
        for container in pod.get("initContainers", []) + pod["containers"]:
            check_container(f"{where} {container['name']}", kind, pod, container)
            for variable in container.get("env", []):
                value = str(variable.get("value", ""))
                if re.search(r"://[^/\s]*:[^/\s]*@", value) or re.search(r"TOKEN$|PASSWORD$", variable["name"]) and value:
                    problem(where, f"{variable['name']} holds a secret")
        if name in ROLES:
            check_drain(where, name, pod, name_of)
            check_trust(where, pod, name_of)
        used = set(sources(pod.get("volumes", [])))
        for source, of in used:
            # A name without a hash refers to nothing that is generated here: it was misspelt.
            if source == "configMap" and of not in generated and of != "ssl-manager-roots":
                problem(where, f"ConfigMap {of} does not exist")
        if (name in ROLES or kind == "Job") and (("secret", "ssl-manager-sealing") in used) != (name in SEALING):
            problem(where, "holds the sealing key and must not, or does not and must")

    for role in ROLES:
        if ("Deployment", role) not in name_of:
            problem(path.stem, f"role {role} has no Deployment")
        if path.stem == "production":
            if ("PodDisruptionBudget", role) not in name_of:
                problem(path.stem, f"role {role} has no PodDisruptionBudget")
            budget = name_of.get(("PodDisruptionBudget", role), {}).get("spec", {})
            if budget.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
                problem(path.stem, f"copies of {role} that are not ready hold up a drain")
            scaler = name_of.get(("HorizontalPodAutoscaler", role), {})
            if scaler.get("spec", {}).get("minReplicas", 0) < 2:
                problem(path.stem, f"role {role} may run in fewer than two copies")
    denied = name_of.get(("NetworkPolicy", "default-deny"), {}).get("spec", {})
    if denied.get("podSelector") != {} or set(denied.get("policyTypes", [])) != {"Ingress", "Egress"}:
        problem(path.stem, "what no NetworkPolicy names is not denied")
    version = re.search(r'^version = "([^"]+)"', pathlib.Path("Cargo.toml").read_text(), re.M).group(1)
    if ("Job", f"migrate-{version.replace('.', '-')}") not in name_of:
        problem(path.stem, f"the Job that migrates is not named by the version {version}")
    questions = name_of.get(("NetworkPolicy", "questions"), {}).get("spec", {})
    blocks = [to.get("ipBlock", {}) for rule in questions.get("egress", []) for to in rule.get("to", [{}])]
    if not blocks or not all(block.get("except") for block in blocks):
        problem(path.stem, "issuer and api may be led to the platform's metadata and into the cluster")
    if not any("169.254.0.0/16" in block.get("except", []) for block in blocks):
        problem(path.stem, "issuer and api may be led to the platform's metadata")
    outside = [
        resource["metadata"]["name"]
        for resource in resources
        if resource["kind"] == "NetworkPolicy" and any("from" not in rule for rule in resource["spec"].get("ingress", []))
    ]
    if outside != ["challenge-responder"]:
        problem(path.stem, f"faces the outside: {outside}")


def check_compose(path):
    compose = yaml.safe_load(path.read_text())
    services = compose["services"]
    for name, service in services.items():
        where = f"docker-compose.yml: {name}"
        check_image(where, service.get("image", ""))
        if not any("no-new-privileges" in option for option in service.get("security_opt", [])):
            problem(where, "no-new-privileges is missing")
        for key, value in (service.get("environment") or {}).items():
            if re.search(r"(PASSWORD|TOKEN|SECRET|KEY)$", key) and value:
                problem(where, f"{key} holds a secret")
        if OURS.search(service.get("image", "")):
            if service.get("read_only") is not True:
                problem(where, "the root file system is not read-only")
            if service.get("cap_drop") != ["ALL"]:
                problem(where, "does not drop ALL capabilities")
            if service.get("user", "0").split(":")[0] in {"0", "root"}:
                problem(where, "runs as root")
    for role in ROLES:
        service = services.get(role)
        if service is None:
            problem("docker-compose.yml", f"role {role} is missing")
        elif "healthcheck" not in service:
            problem(f"docker-compose.yml: {role}", "has no health check")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--compose", default="")
    arguments.add_argument("rendered", nargs="*", type=pathlib.Path)
    arguments = arguments.parse_args()
    check_named_once()
    for path in arguments.rendered:
        check_kubernetes(path)
    if arguments.compose:
        check_compose(pathlib.Path(arguments.compose))
    for line in problems:
        print(f"deploy: FAILED: {line}")
    if not problems:
        print("deploy: our own rules are kept")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
