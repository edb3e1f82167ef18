"""The way of a domain as a client in another language goes it, with nothing of ours but the protos.

Usage: flow.py FOLDER, where the compiled protos are. ENDPOINT, NAME (a name that is pointed at the CDN) and ROOT_FILE
(the root of its certificate) come by the environment, and TOKEN; without it, TLS_FOLDER with ca.pem, client.pem and
client.key. Prints a line per step, for whoever started it to compare; what is unexpected ends it with a traceback.
"""

import hashlib
import os
import ssl
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

sys.path.insert(0, sys.argv[1])
from sslmanager.v1 import domains_pb2 as d  # noqa: E402
from sslmanager.v1 import domains_pb2_grpc  # noqa: E402
from sslmanager.v1 import types_pb2  # noqa: E402

NAME = os.environ["NAME"]
TOKEN = os.environ.get("TOKEN", "")
# Every call ends by then, whatever happens.
LIMIT = 60


def connect():
    endpoint = os.environ["ENDPOINT"]
    folder = os.environ.get("TLS_FOLDER")
    if not folder:
        return grpc.insecure_channel(endpoint)

    def pem(name):
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()

    credentials = grpc.ssl_channel_credentials(pem("ca.pem"), pem("client.key"), pem("client.pem"))
    return grpc.secure_channel(endpoint, credentials)


def signed(token=TOKEN, request_id=None):
    """The metadata of a call, and its limit."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    if request_id:
        metadata.append(("x-request-id", request_id))
    return {"metadata": metadata, "timeout": LIMIT}


def refused(call, *arguments, **options):
    """The code and the typed detail of an error."""
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        info = error_details_pb2.ErrorInfo()
        assert any(detail.Unpack(info) for detail in status.details), status
        assert status.message, status
        return f"{error.code().name} {info.reason} {info.domain}"
    raise AssertionError("the call was answered")


def word(status):
    return types_pb2.Status.Name(status)


def reflect(channel, version):
    """Lists the services and describes one, without a token. The messages of both versions are the same on the wire."""
    ask = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services="*"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="sslmanager.v1.Domains"),
    ]
    listed, described = list(ask(iter(requests), timeout=LIMIT))
    services = sorted(service.name for service in listed.list_services_response.service)
    print(f"reflection {version} lists", *(name for name in services if ".reflection." not in name))
    pool = DescriptorPool()
    files = {}
    for encoded in described.file_descriptor_response.file_descriptor_proto:
        file = descriptor_pb2.FileDescriptorProto.FromString(encoded)
        files[file.name] = file
    while missing := {name for file in files.values() for name in file.dependency} - files.keys():
        by_name = [reflection_pb2.ServerReflectionRequest(file_by_filename=name) for name in sorted(missing)]
        for answer in ask(iter(by_name), timeout=LIMIT):
            for encoded in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(encoded)
                files[file.name] = file

    def add(file):
        for name in file.dependency:
            add(files[name])
        pool.AddSerializedFile(file.SerializeToString())

    add(next(file for file in files.values() if any(service.name == "Domains" for service in file.service)))
    method = pool.FindServiceByName("sslmanager.v1.Domains").FindMethodByName("AddDomain")
    fields = ", ".join(field.name for field in method.output_type.fields)
    print(f"reflection {version} describes {method.name}({method.input_type.name}) -> {fields}")


def check_health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ["", "sslmanager.v1.Domains", "sslmanager.v1.Jobs", "sslmanager.v1.Sessions", "sslmanager.v1.Administration"]:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=LIMIT)
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        print("health of", service or "everything", name)


def watch_until_success(domains):
    changes = domains.WatchDomains(d.WatchDomainsRequest(name=NAME), **signed())
    last = 0
    for change in changes:
        assert change.position > last, (change.position, last)
        last = change.position
        if change.domain.status == types_pb2.STATUS_SUCCESS:
            changes.cancel()
            print("watched", change.domain.name, word(change.domain.status))
            return
    raise AssertionError("the stream ended")


def download(domains):
    answer = domains.DownloadCertificate(d.DownloadCertificateRequest(name=NAME), **signed())
    der = ssl.PEM_cert_to_DER_cert(answer.certificate_pem)
    assert hashlib.sha256(der).hexdigest() == answer.certificate.sha256
    end = "-----END CERTIFICATE-----"
    first = answer.chain_pem[: answer.chain_pem.index(end) + len(end)]
    assert ssl.PEM_cert_to_DER_cert(first) == der, "the chain begins with the leaf"
    assert not answer.private_key_pem and not answer.pfx
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as chain:
        chain.write(answer.chain_pem)
        chain.flush()
        command = ["openssl", "verify", "-CAfile", os.environ["ROOT_FILE"], "-untrusted", chain.name]
        subprocess.run([*command, "-verify_hostname", NAME, chain.name], check=True, stdout=subprocess.DEVNULL)
    print("downloaded a chain that leads to the root")


def batch(domains):
    names = ["b1.example.com", "*.example.com", NAME, "b2.example.com"]
    requests = (d.BatchAddDomainsRequest(name=name) for name in names)
    for answer in domains.BatchAddDomains(requests, **signed()):
        match answer.WhichOneof("result"):
            case "added":
                print("batch:", answer.name, "created" if answer.added.created else "present")
            case "error":
                assert answer.error.message
                print("batch:", answer.name, answer.error.reason)


def flow(channel):
    reflect(channel, "v1")
    reflect(channel, "v1alpha")
    check_health(channel)
    domains = domains_pb2_grpc.DomainsStub(channel)
    print("wrong token:", refused(domains.GetDomain, d.GetDomainRequest(name=NAME), **signed("slm_wrong")))
    print("unknown name:", refused(domains.GetDomain, d.GetDomainRequest(name=NAME), **signed()))
    for request_id in ["first", "first"]:
        added = domains.AddDomain(d.AddDomainRequest(name=f"{NAME.upper()}."), **signed(request_id=request_id))
        print("added", added.domain.name, "created" if added.created else "present")
    watch_until_success(domains)
    domain = domains.GetDomain(d.GetDomainRequest(name=NAME), **signed()).domain
    assert domain.expires_at.seconds > domain.created_at.seconds
    print("got", domain.name, word(domain.status), types_pb2.Source.Name(domain.source))
    batch(domains)
    names, page_token = [], ""
    while True:
        asked = d.ListDomainsRequest(page_size=2, page_token=page_token)
        page = domains.ListDomains(asked, **signed())
        names += [domain.name for domain in page.domains]
        page_token = page.next_page_token
        if not page_token:
            break
    print("listed", *sorted(names))
    entries = domains.GetHistory(d.GetHistoryRequest(name=NAME), **signed()).entries
    print("history begins with", entries[-1].kind, "by", entries[-1].actor)
    download(domains)
    nonsense = d.ImportCertificateRequest(name=NAME, certificate_pem="nonsense", private_key_pem="nonsense")
    print("import:", refused(domains.ImportCertificate, nonsense, **signed()))
    rechecked = domains.RecheckDomain(d.RecheckDomainRequest(name=NAME), **signed())
    print("rechecked", rechecked.domain.name, word(rechecked.domain.status))
    deleted = domains.DeleteDomain(d.DeleteDomainRequest(name=NAME), **signed())
    print("deleted", deleted.name)
    print("gone:", refused(domains.DeleteDomain, d.DeleteDomainRequest(name=NAME), **signed()))


if __name__ == "__main__":
    with connect() as channel:
        flow(channel)
