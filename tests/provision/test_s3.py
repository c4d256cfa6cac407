"""Buckets as S3 shows them."""

import pytest
from botocore.exceptions import ClientError

from bbws.provision.s3 import bucket_differences, make_bucket, push_templates, template_differences
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.settings import Settings
from bbws.shared.templating import packaged_documents
from bbws.shared.topology import Topology

pytestmark = pytest.mark.needs("s3")


@pytest.mark.parametrize(("environment", "days"), [("dev", 30), ("sit", 60), ("prod", 90)])
async def test_old_templates_go_after_some_days_and_documents_never(
    clients: AwsClients, settings: Settings, environment: str, days: int
) -> None:
    """An old template draws invoices that are drawn again; a document keeps all its versions."""
    settings = settings.model_copy(update={"environment": environment})
    topology, s3 = Topology.for_settings(settings), await clients.get("s3")
    templates, documents = topology.bucket("templates"), topology.bucket("documents")
    for bucket in (templates, documents):
        await make_bucket(clients, settings, bucket)
        assert await bucket_differences(clients, settings, bucket) == []
    (rule,) = (await s3.get_bucket_lifecycle_configuration(Bucket=templates.name))["Rules"]
    assert (rule["Status"], rule["NoncurrentVersionExpiration"]["NoncurrentDays"]) == ("Enabled", days)
    assert (rule["Filter"], "Expiration" in rule) == ({"Prefix": ""}, False)
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        await s3.get_bucket_lifecycle_configuration(Bucket=documents.name)


async def test_other_days_and_a_rule_that_is_off_are_named(clients: AwsClients, settings: Settings) -> None:
    """Whoever shortens them loses the templates of invoices that may be drawn again."""
    settings = settings.model_copy(update={"environment": "dev"})
    bucket, s3 = Topology.for_settings(settings).bucket("templates"), await clients.get("s3")
    await make_bucket(clients, settings, bucket)
    (rule,) = (await s3.get_bucket_lifecycle_configuration(Bucket=bucket.name))["Rules"]
    sooner = rule | {"NoncurrentVersionExpiration": {"NoncurrentDays": 7}}
    for changed, kept in ((sooner, 7), (rule | {"Status": "Disabled"}, None)):
        await s3.put_bucket_lifecycle_configuration(Bucket=bucket.name, LifecycleConfiguration={"Rules": [changed]})
        (found,) = await bucket_differences(clients, settings, bucket)
        assert found == f"bucket {bucket.name} keeps old versions {kept} days, declared 30"


async def test_a_template_that_stands_gets_no_new_version(
    clients: AwsClients, settings: Settings, topology: Topology
) -> None:
    """Each deployment would otherwise pin invoices to new versions of the same text."""
    bucket, s3 = topology.bucket("templates"), await clients.get("s3")
    await make_bucket(clients, settings, bucket)
    await push_templates(clients, bucket.name)
    await s3.put_object(Bucket=bucket.name, Key="invoices/invoice.html", Body=b"edited")
    await push_templates(clients, bucket.name)
    assert await template_differences(clients, bucket.name) == []
    versions = (await s3.list_object_versions(Bucket=bucket.name))["Versions"]
    assert len(versions) == len(packaged_documents()) + 2
    newest = await s3.get_object(Bucket=bucket.name, Key="invoices/invoice.html")
    assert await newest["Body"].read() == packaged_documents()["invoices/invoice.html"]


async def test_every_bucket_encrypts_keeps_versions_and_is_nobodys_to_see(
    clients: AwsClients, settings: Settings, topology: Topology
) -> None:
    """Invoices and exports are personal."""
    s3 = await clients.get("s3")
    for bucket in topology.buckets:
        await make_bucket(clients, settings, bucket)
        encryption = await s3.get_bucket_encryption(Bucket=bucket.name)
        (rule,) = encryption["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert (await s3.get_bucket_versioning(Bucket=bucket.name))["Status"] == "Enabled"
        access = (await s3.get_public_access_block(Bucket=bucket.name))["PublicAccessBlockConfiguration"]
        assert (len(access), set(access.values())) == (4, {True})
