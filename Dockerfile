# One image for every role: compose.yaml says which command a container runs.
# The web console; a build that lies in console/dist already is taken as it is, and nothing is fetched.
FROM python:3.11-slim-bookworm AS console
WORKDIR /src
COPY openapi.json ./
COPY console console
RUN test -f console/dist/index.html || (python3 -m venv /tmp/node && /tmp/node/bin/python console/build.py)

FROM python:3.11-slim-bookworm AS build
# Wheels from a folder in place of PyPI: put them into wheelhouse/ and give PIP_NO_INDEX=1, PIP_FIND_LINKS=/src/wheelhouse.
ARG PIP_NO_INDEX=
ARG PIP_FIND_LINKS=
WORKDIR /src
COPY requirements-image.lock pyproject.toml README.md LICENSE wheelhouse* ./wheelhouse/
RUN python3 -m venv /opt/ostiary \
    && /opt/ostiary/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r wheelhouse/requirements-image.lock
COPY pyproject.toml README.md LICENSE hatch_build.py ./
COPY console/build.py console/build.py
COPY --from=console /src/console/dist console/dist
COPY protocol protocol
COPY runtime runtime
COPY controller controller
COPY relay relay
COPY connector connector
COPY client client
COPY migrations migrations
RUN /opt/ostiary/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/ostiary/bin/python -m compileall -q /opt/ostiary/lib

FROM python:3.11-slim-bookworm
COPY --from=build /opt/ostiary /opt/ostiary
COPY docker/setup /opt/ostiary/bin/ostiary-setup
ENV PATH=/opt/ostiary/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A named volume takes over owner and mode of the folder that it is mounted on for the first time.
RUN dirs="/var/lib/ostiary /run/ostiary /secrets /database-secret /owner /enrolment /connector-enrolment /client-enrolment /trust /proxy" \
    && mkdir -p $dirs \
    && chown -R 10001:10001 $dirs \
    && chmod 0700 /secrets /owner /proxy
USER 10001:10001
WORKDIR /var/lib/ostiary
CMD ["ostiary-controller", "serve"]
