"""What an address means beside others is told: before a resource is made, and at once when two of them tie."""

from typing import Any

from controller_api import Controller


async def test_ties_are_told_when_a_resource_is_made_read_and_changed(controller: Controller) -> None:
    owner = await controller.owner()
    networks = [(await owner.post("/api/v1/networks", json={"name": name})).json() for name in ("office", "plant")]
    lan = {"address": "10.0.0.0/24", "ports": {"tcp": ["22"]}}
    first, second = [
        (
            await owner.post("/api/v1/resources", json={**lan, "network": each["id"], "name": f"lan {each['name']}"})
        ).json()
        for each in networks
    ]
    assert first["ties"] == []
    [tie] = second["ties"]
    assert (tie["id"], tie["name"], tie["network_name"]) == (first["id"], "lan office", "office")
    assert tie["decides"] is (first["id"] < second["id"])
    [back] = (await owner.get(f"/api/v1/resources/{first['id']}")).json()["ties"]
    assert (back["id"], back["decides"]) == (second["id"], not tie["decides"])
    moved = await owner.patch(f"/api/v1/resources/{second['id']}", json={"address": "10.0.1.0/24"})
    assert moved.json()["ties"] == []
    assert "ties" not in (await owner.get("/api/v1/resources")).json()["items"][0]


async def test_an_address_is_previewed_with_what_it_overlaps(controller: Controller) -> None:
    owner = await controller.owner()
    office = (await owner.post("/api/v1/networks", json={"name": "office"})).json()["id"]
    ids = {}
    for name, address in {
        "lan": "10.0.0.0/24",
        "all": "10.0.0.0/8",
        "dns": "10.0.0.53",
        "web": "*.corp.internal",
    }.items():
        body = {"network": office, "name": name, "address": address, "ports": {"tcp": ["22"]}}
        ids[name] = (await owner.post("/api/v1/resources", json=body)).json()["id"]

    async def preview(address: str, **query: str) -> Any:
        return (await owner.get("/api/v1/resources/preview", params={"address": address, **query})).json()

    found = await preview("10.0.0.0/24")
    assert [found[key] for key in ("address", "kind", "first", "last")] == [
        "10.0.0.0/24",
        "network",
        "10.0.0.0",
        "10.0.0.255",
    ]
    shown = [(item["name"], item["relation"], item["network_name"]) for item in found["overlaps"]]
    assert shown == [("lan", "same", "office"), ("all", "wider", "office"), ("dns", "narrower", "office")]
    changing = await preview("10.0.0.0/24", resource=ids["lan"])
    assert [item["name"] for item in changing["overlaps"]] == ["all", "dns"]
    assert changing["overlaps_total"] == 2
    kinds = [await preview(address) for address in ("WIKI.Corp.internal.", "*.corp.internal", "2001:DB8::1", "::/0")]
    assert [(item["address"], item["kind"]) for item in kinds] == [
        ("wiki.corp.internal", "name"),
        ("*.corp.internal", "wildcard"),
        ("2001:db8::1", "address"),
        ("::/0", "network"),
    ]
    assert [item["name"] for item in kinds[0]["overlaps"]] == ["web"]
    refused = await owner.get("/api/v1/resources/preview", params={"address": "10.0.0.1/24"})
    assert (refused.status_code, refused.json()["field"]) == (422, "address")
    assert "10.0.0.0/24" in refused.json()["detail"]


async def test_a_preview_names_only_so_many_others(controller: Controller) -> None:
    owner = await controller.owner()
    office = (await owner.post("/api/v1/networks", json={"name": "office"})).json()["id"]
    for number in range(20):
        body = {"network": office, "name": f"h{number}", "address": f"10.0.0.{number}", "ports": {"tcp": ["22"]}}
        await owner.post("/api/v1/resources", json=body)
    found = (await owner.get("/api/v1/resources/preview", params={"address": "10.0.0.0/24"})).json()
    assert (len(found["overlaps"]), found["overlaps_total"]) == (16, 20)
